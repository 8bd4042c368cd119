/**
 * Copies a value of the kinds that entries hold. Unlike `structuredClone` it copies `URL`, and accepts objects that only
 * a custom codec knows: these are returned as they are.
 */
export function copyOf<T>(value: T): T {
  return copy(value, new Map()) as T;
}

function copy(value: unknown, seen: Map<object, unknown>): unknown {
  if (typeof value !== "object" || value === null) return value;
  const known = seen.get(value);
  if (known !== undefined) return known;
  const keep = <R extends object>(result: R): R => {
    seen.set(value, result);
    return result;
  };
  if (Array.isArray(value)) {
    const array = keep(new Array<unknown>(value.length));
    for (let i = 0; i < value.length; i++) if (i in value) array[i] = copy(value[i], seen);
    return array;
  }
  if (value instanceof Map) {
    const map = keep(new Map());
    for (const [key, item] of value) map.set(copy(key, seen), copy(item, seen));
    return map;
  }
  if (value instanceof Set) {
    const set = keep(new Set());
    for (const item of value) set.add(copy(item, seen));
    return set;
  }
  if (value instanceof URL) return keep(new URL(value));
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype === null || prototype === Object.prototype) {
    const object = keep(Object.create(prototype) as Record<string, unknown>);
    for (const [key, item] of Object.entries(value)) {
      if (key === "__proto__") {
        Object.defineProperty(object, key, {
          value: copy(item, seen),
          enumerable: true,
          configurable: true,
          writable: true,
        });
      } else {
        object[key] = copy(item, seen);
      }
    }
    return object;
  }
  try {
    return isCloneable(value) ? keep(structuredClone(value)) : value;
  } catch {
    return value;
  }
}

// A class instance would lose its prototype.
function isCloneable(value: object): boolean {
  return value instanceof Date || value instanceof RegExp || ArrayBuffer.isView(value) || value instanceof ArrayBuffer;
}

/** Freezes a value deeply. Returns false when part of it stays mutable (bytes, `Map`, `Set`, `Date`, `URL`). */
export function freezeDeep(value: unknown): boolean {
  if (typeof value !== "object" || value === null) return true;
  const prototype: unknown = Object.getPrototypeOf(value);
  if (!Array.isArray(value) && prototype !== null && prototype !== Object.prototype) return false;
  Object.freeze(value);
  let complete = true;
  for (const item of Object.values(value)) complete = freezeDeep(item) && complete;
  return complete;
}
