const LONE_SURROGATE = /\p{Surrogate}/u;

/** Tells whether a text has a surrogate without its other half, which UTF-8 cannot express. */
export function hasLoneSurrogate(text: string): boolean {
  return LONE_SURROGATE.test(text);
}

/** Tells whether JSON writes an object, of any realm, by its properties. */
export function isPlainObject(value: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(value);
  return (
    prototype === Object.prototype ||
    prototype === null ||
    (Object.getPrototypeOf(prototype) === null && Object.hasOwn(prototype as object, "isPrototypeOf"))
  );
}

/**
 * Tells, in one fast walk, whether `JSON.stringify` and `JSON.parse` give back exactly this value. The answer is also no
 * for cycles, deep nesting, `toJSON` and other realms, which are left to the writer of tagged data.
 */
export function isJson(value: unknown, depth = 0): boolean {
  if (typeof value === "number") return value - value === 0 && !Object.is(value, -0);
  if (typeof value !== "object") return typeof value === "string" || typeof value === "boolean";
  if (value === null) return true;
  if (depth > 64) return false;
  if (Array.isArray(value)) {
    for (let i = 0; i < value.length; i++) {
      const item: unknown = value[i];
      if (typeof item !== "string" && !isJson(item, depth + 1)) return false;
    }
    return true;
  }
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype !== Object.prototype && prototype !== null) return false;
  if (Object.getOwnPropertySymbols(value).length > 0) return false;
  // This is the fastest way to visit properties. Inherited names only make the answer no more often.
  for (const name in value) {
    const item = (value as Record<string, unknown>)[name];
    if (typeof item !== "string" && item !== undefined && !isJson(item, depth + 1)) return false;
  }
  return true;
}
