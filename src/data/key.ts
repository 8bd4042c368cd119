import { md5 } from "./digest.js";
import { utf8 } from "../base/bytes.js";
import { sha256Base64 } from "../base/sha256.js";
import { hasLoneSurrogate } from "./plain.js";
import { writeTagged } from "./tagged.js";

/**
 * Returns the canonical text of arguments: RFC 8785 (JCS), with tags for values that JSON cannot express. The same data
 * gives the same text in any language, whatever the order of properties.
 *
 * @param args The array of arguments, whose trailing `undefined` is dropped, or the data in its place.
 * @param root Beginning of the path in an error.
 * @throws TypeError that names the path of what cannot be part of a key.
 */
export function canonicalize(args: unknown, root = "args"): string {
  if (Array.isArray(args) && args.length > 0 && args[args.length - 1] === undefined) {
    let { length } = args;
    while (length > 0 && args[length - 1] === undefined) length--;
    args = args.slice(0, length);
  }
  return writeTagged(args, root, "return plain data for it from the `key` option");
}

/**
 * Returns the key under which the result of a wrapped function is stored, without the cache's prefix: `<name>/<md5>`, as
 * `cache.get` and `cache.delete` take it. It is the same in every runtime.
 *
 * @example
 * ```ts
 * import { cacheKey, createCache } from "bucketcache";
 * import { memoryStore } from "bucketcache/memory"; // or any other store
 *
 * const cache = createCache({ store: memoryStore() });
 * await cache.delete(cacheKey("report", ["2026-11"]));
 * ```
 *
 * @param name The `name` that the function was wrapped with.
 * @param args Its arguments or, where a `key` option is set, the data that it returned in their place.
 * @throws TypeError for a name that cannot be part of an object key, and for arguments that are not data, naming their path.
 */
export function cacheKey(name: string, args: readonly unknown[]): string {
  if (!Array.isArray(args)) throw new TypeError("cacheKey takes the arguments as an array");
  return digestKey(name, canonicalize(args));
}

/** Returns the key of a canonical text. */
export function digestKey(name: string, canonical: string): string {
  return `${sanitizeName(name)}/${md5(canonical)}`;
}

/**
 * Returns the name as it stands in object keys: `<` and `>` become `_`.
 *
 * @throws TypeError when it cannot be part of one.
 */
export function sanitizeName(name: string): string {
  if (typeof name !== "string" || name === "") throw new TypeError("name must be a non-empty string");
  const clean = name.replace(/[<>]/g, "_");
  const fault = faultOf(clean);
  if (fault !== undefined) throw new TypeError(`name ${JSON.stringify(name.slice(0, 200))} ${fault}`);
  return clean;
}

/**
 * Returns the object key of an entry.
 *
 * @throws TypeError that names the rule a key breaks. Stores refuse such keys, or read them as another key.
 */
export function objectKey(prefix: string, key: string): string {
  if (typeof key !== "string") throw new TypeError(`key must be a string, got ${key === null ? "null" : typeof key}`);
  const whole = prefix + key;
  // Plain ASCII whose segments do not begin with a dot, and which is too short for the limits, breaks no rule.
  if (whole.length <= 255 && /^[\w-][\w.-]*(?:\/[\w-][\w.-]*)*$/.test(whole) && /^[\w-]/.test(key)) return whole;
  const fault = faultOf(key) ?? (prefix === "" ? undefined : faultOf(whole));
  if (fault !== undefined) throw new TypeError(`key ${JSON.stringify(whole.slice(0, 200))} ${fault}`);
  return whole;
}

/**
 * Checks the prefix of a cache or of a handler, which a key follows.
 *
 * @throws TypeError that names the rule which every key below it would break.
 */
export function checkPrefix(prefix: string): void {
  if (typeof prefix !== "string") throw new TypeError("prefix must be a string");
  const fault = prefix === "" ? undefined : faultOf(`${prefix}x`);
  if (fault !== undefined) throw new TypeError(`prefix ${JSON.stringify(prefix.slice(0, 200))} ${fault}`);
}

/**
 * Checks the beginning of keys, as listings take it. It may end anywhere in a key.
 *
 * @throws TypeError when it holds what no key may hold.
 */
export function checkBeginning(prefix: string): void {
  if (typeof prefix !== "string") throw new TypeError("prefix must be a string");
  const fault = faultOfText(prefix);
  if (fault !== undefined) throw new TypeError(`prefix ${JSON.stringify(prefix.slice(0, 200))} ${fault}`);
}

/** Tells whether an object key is reserved. Such keys are hidden from listings, `clear` and the handler. */
export function isReserved(prefix: string, objectKey: string): boolean {
  return objectKey.startsWith(`${prefix}.bucketcache/`);
}

function faultOf(key: string): string | undefined {
  if (key === "") return "is empty";
  const fault = faultOfText(key);
  if (fault !== undefined) return fault;
  if (/^[/\\]/.test(key)) return "begins with a slash";
  if (/(?:^|[/\\])\.{0,2}(?:[/\\]|$)/.test(key)) return "has an empty, `.` or `..` segment";
  // A UTF-16 code unit is at most three bytes of UTF-8.
  if (key.length > 85) {
    if (utf8(key).length > 1_024) return "is longer than 1,024 bytes of UTF-8";
    if (key.split("/").some((segment) => utf8(segment).length > 255)) return "has a segment of more than 255 bytes";
  }
  return undefined;
}

function faultOfText(text: string): string | undefined {
  if (/\p{Cc}/u.test(text)) return "holds a control character";
  return hasLoneSurrogate(text) ? "holds a lone surrogate" : undefined;
}

/**
 * Returns the `key` of an entry: base64 SHA-256 of name, NUL and canonical text. It tells entries apart that share a
 * sanitised name or a crafted md5. Undefined where the platform has no `crypto.subtle` (plain-http pages other than
 * localhost).
 */
export async function keyHash(name: string, canonical: string): Promise<string | undefined> {
  return sha256Base64(`${name}\0${canonical}`);
}
