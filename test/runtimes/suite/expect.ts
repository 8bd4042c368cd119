// Assertions of the suite of all runtimes. Vitest's `expect` cannot be used: the suite runs in Bun, Deno, workerd and
// browsers, outside of Vitest. The conformance suite in src/testing has assertions of its own because it is published.
import { isBucketCacheError, type ErrorCode } from "bucketcache";

export function check(condition: unknown, what: string): asserts condition {
  if (!condition) throw new Error(what);
}

/** Deep, and by kind: `-0` is not `0`, a `Map` is no object, bytes are not an array of numbers. */
export function equal(actual: unknown, expected: unknown, what: string): void {
  const [is, should] = [show(actual), show(expected)];
  if (is !== should) throw new Error(`${what}: should be ${cut(should)}, and is ${cut(is)}`);
}

/** Bytes are compared without being shown: there may be megabytes. */
export function equalBytes(actual: Uint8Array, expected: Uint8Array, what: string): void {
  equal(actual.byteLength, expected.byteLength, `${what}, its length`);
  for (let i = 0; i < expected.byteLength; i++) {
    if (actual[i] !== expected[i]) throw new Error(`${what}: differs at byte ${i}`);
  }
}

export async function rejection(promise: Promise<unknown>, what: string): Promise<unknown> {
  try {
    await promise;
  } catch (error) {
    return error;
  }
  throw new Error(`${what}: should reject`);
}

export async function rejectsWith(code: ErrorCode, promise: Promise<unknown>, what: string): Promise<Error> {
  const error = await rejection(promise, what);
  if (!isBucketCacheError(error)) throw new Error(`${what}: should reject with ${code}`, { cause: error });
  if (error.code !== code) throw new Error(`${what}: should reject with ${code}, not ${error.code}`, { cause: error });
  return error;
}

export async function rejectsAsMisuse(promise: Promise<unknown>, text: RegExp, what: string): Promise<void> {
  const error = await rejection(promise, what);
  check(
    error instanceof TypeError && text.test(error.message),
    `${what}: should be a TypeError ${String(text)}: ${String(error)}`,
  );
}

/** Waits until something is so, without knowing how long that takes. */
export async function until(condition: () => Promise<boolean> | boolean, what: string): Promise<void> {
  const end = Date.now() + 20_000;
  while (!(await condition())) {
    check(Date.now() < end, `${what}: not so after 20 s`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

const cut = (text: string): string => (text.length > 400 ? `${text.slice(0, 400)}…` : text);

function show(value: unknown): string {
  if (typeof value === "bigint") return `${value}n`;
  if (typeof value === "number") return Object.is(value, -0) ? "-0" : `${value}`;
  if (typeof value !== "object" || value === null) return JSON.stringify(value) ?? String(value);
  const kind = Object.prototype.toString.call(value).slice(8, -1);
  if (value instanceof Date) return `Date ${value.getTime()}`;
  if (value instanceof RegExp || value instanceof URL) return `${kind} ${String(value)}`;
  if (value instanceof Error) return `${value.name} ${value.message}`;
  if (value instanceof ArrayBuffer) return `${kind} [${new Uint8Array(value).join()}]`;
  if (ArrayBuffer.isView(value)) return `${kind} [${(value as Uint8Array).join()}]`;
  if (value instanceof Set || Array.isArray(value)) return `${kind} [${Array.from(value, show).join()}]`;
  if (value instanceof Map) return `Map {${[...value].map((pair) => pair.map(show).join(": ")).join()}}`;
  const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  return `{${entries.map(([key, inner]) => `${JSON.stringify(key)}: ${show(inner)}`).join()}}`;
}
