import { toBase64 } from "../base/bytes.js";

/** A built-in that JSON cannot express: the name of its tag, and the data in the tag. */
export interface Brand {
  name: string;
  data: unknown;
}

type Reader = (value: object) => unknown;

let readers: Map<string, Reader> | undefined;
let elementType: ((this: object) => string | undefined) | undefined;
let byteLength: ((this: object) => number) | undefined;

/**
 * Makes the readers that recognize built-ins by their internal slots, which neither another realm nor a subclass nor
 * `Symbol.toStringTag` can change. Each reader throws on a value of another kind.
 */
function prepare(): Map<string, Reader> {
  const getter = (owner: object, name: PropertyKey) => Object.getOwnPropertyDescriptor(owner, name)!.get!;
  elementType = getter(Object.getPrototypeOf(Uint8Array.prototype) as object, Symbol.toStringTag);
  byteLength = getter(ArrayBuffer.prototype, "byteLength");
  const source = getter(RegExp.prototype, "source");
  const flags = getter(RegExp.prototype, "flags");
  return new Map<string, Reader>([
    [
      "Date",
      (value) => {
        const time = Date.prototype.getTime.call(value);
        return Number.isNaN(time) ? null : new Date(time).toISOString();
      },
    ],
    [
      "Map",
      (value) => {
        const entries: unknown[] = [];
        Map.prototype.forEach.call(value as Map<unknown, unknown>, (item, key) => entries.push([key, item]));
        return entries;
      },
    ],
    [
      "Set",
      (value) => {
        const items: unknown[] = [];
        Set.prototype.forEach.call(value as Set<unknown>, (item) => items.push(item));
        return items;
      },
    ],
    ["URL", (value) => getter(URL.prototype, "href").call(value)],
    ["RegExp", (value) => [source.call(value), flags.call(value)]],
    [
      "ArrayBuffer",
      (value) => {
        byteLength!.call(value);
        return toBase64(new Uint8Array(value as ArrayBuffer));
      },
    ],
  ]);
}

/** Returns the brand of an object, if it is one of the built-ins that are tagged. */
export function brandOf(value: object): Brand | undefined {
  readers ??= prepare();
  const element = elementType!.call(value);
  if (element !== undefined) return { name: element, data: toBase64(littleEndian(value as Uint8Array)) };
  const looks = Object.prototype.toString.call(value).slice(8, -1);
  // An instance of an ordinary class looks like no built-in, and is not put to the tests.
  if (looks === "Object") return undefined;
  const read = readers.get(looks);
  const data = read && attempt(read, value);
  if (data !== undefined) return { name: looks, data };
  for (const [name, read] of readers) {
    const data = attempt(read, value);
    if (data !== undefined) return { name, data };
  }
  return undefined;
}

function attempt(read: Reader, value: object): unknown {
  try {
    return read(value);
  } catch {
    return undefined;
  }
}

/** Returns the bytes of a `Uint8Array` (or `Buffer`) or an `ArrayBuffer` of any realm, without copying; else undefined. */
export function bytesOf(value: unknown): Uint8Array | undefined {
  if (typeof value !== "object" || value === null) return undefined;
  readers ??= prepare();
  const element = elementType!.call(value);
  if (element !== undefined) return element === "Uint8Array" ? (value as Uint8Array) : undefined;
  try {
    byteLength!.call(value);
  } catch {
    return undefined;
  }
  return new Uint8Array(value as ArrayBuffer);
}

/** Returns the bytes of a typed array, the lowest of each element first, whatever the order of the machine is. */
export function littleEndian(array: Uint8Array): Uint8Array {
  const { buffer, byteOffset, byteLength } = array;
  const bytes = new Uint8Array(buffer, byteOffset, byteLength);
  const size = array.BYTES_PER_ELEMENT;
  if (size === 1 || new Uint8Array(new Uint16Array([1]).buffer)[0] === 1) return bytes;
  const swapped = new Uint8Array(byteLength);
  for (let i = 0; i < byteLength; i++) swapped[i] = bytes[i - (i % size) + size - 1 - (i % size)]!;
  return swapped;
}
