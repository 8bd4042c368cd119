import { fromBase64 } from "../base/bytes.js";
import { littleEndian } from "./brands.js";
import { MAX_DEPTH, MAX_DIGITS, MAX_PATTERN } from "./tagged.js";

/**
 * Revives parsed tagged JSON in place, and returns its value. `__proto__` is data: `JSON.parse` made it an own property,
 * and assigning to an own property sets no prototype.
 *
 * @throws Error for data that no writer of this format writes.
 */
export function revive(value: unknown, depth = 0): unknown {
  if (typeof value !== "object" || value === null) return value;
  // The limit is one level more than the writer's, which does not count a tagged primitive as a level.
  if (depth > MAX_DEPTH) throw new Error(`nested deeper than ${MAX_DEPTH} levels`);
  if (Array.isArray(value)) {
    for (let i = 0; i < value.length; i++) value[i] = revive(value[i], depth + 1);
    return value;
  }
  const record = value as Record<string, unknown>;
  const names = Object.keys(record);
  const [first] = names;
  if (names.length === 1 && first!.startsWith("$$")) {
    const inner = revive(record[first!], depth + 1);
    return first!.startsWith("$$$") ? { [first!.slice(1)]: inner } : reviveTag(first!.slice(2), inner);
  }
  for (const name of names) record[name] = revive(record[name], depth + 1);
  return record;
}

const NUMBERS = new Map([
  ["NaN", NaN],
  ["Infinity", Infinity],
  ["-Infinity", -Infinity],
  ["-0", -0],
]);

function reviveTag(name: string, data: unknown): unknown {
  switch (name) {
    case "undefined":
      return undefined;
    case "number":
      if (NUMBERS.has(data as string)) return NUMBERS.get(data as string);
      break;
    case "bigint":
      if (typeof data === "string" && data.length <= MAX_DIGITS && /^-?\d+$/.test(data)) return BigInt(data);
      break;
    case "Date":
      if (data === null) return new Date(NaN);
      if (typeof data === "string") {
        const date = new Date(data);
        // toISOString throws for an invalid date. The meaning of any other form might depend on the platform.
        if (date.toISOString() === data) return date;
      }
      break;
    case "Map":
      if (Array.isArray(data) && data.every((pair) => Array.isArray(pair) && pair.length === 2))
        return new Map(data as [unknown, unknown][]);
      break;
    case "Set":
      if (Array.isArray(data)) return new Set(data);
      break;
    case "URL":
      if (typeof data === "string") return new URL(data);
      break;
    case "RegExp":
      if (
        Array.isArray(data) &&
        data.length === 2 &&
        data.every((part) => typeof part === "string" && part.length <= MAX_PATTERN)
      ) {
        return new RegExp(data[0] as string, data[1] as string);
      }
      break;
    default:
      if (typeof data === "string") return reviveBytes(name, data);
  }
  throw new Error(`a tag ${JSON.stringify(name.slice(0, 40))} that is unknown or damaged`);
}

function reviveBytes(name: string, data: string): unknown {
  if (/^(?:ArrayBuffer|(?:(?:Big)?(?:Uint|Int|Float)\d\d?|Uint8Clamped)Array)$/.test(name)) {
    const bytes = fromBase64(data);
    if (name === "ArrayBuffer") return bytes.buffer;
    const type = (globalThis as unknown as Record<string, Uint8ArrayConstructor | undefined>)[name];
    if (type !== undefined && bytes.byteLength % type.BYTES_PER_ELEMENT === 0) {
      const array = new type(bytes.buffer);
      if (array.BYTES_PER_ELEMENT > 1) bytes.set(littleEndian(array).slice());
      return array;
    }
  }
  throw new Error(`a tag ${JSON.stringify(name.slice(0, 40))} that is unknown or damaged`);
}
