import { readAll } from "../base/body.js";
import { type ErrorCode, isBucketCacheError } from "../errors.js";
import type { Bytes, FoundObject, ObjectStore } from "../types.js";

// There is no assertion library here: the suite runs under any runner, in any runtime, and says in words which promise
// was broken.

/** Options of a write that does not care about them. */
export const PLAIN = { contentType: "text/plain", metadata: {} };

/** @throws Error that names a broken promise */
export function fail(message: string): never {
  throw new Error(`store conformance: ${message}`);
}

export function check(condition: unknown, message: string): asserts condition {
  if (!condition) fail(message);
}

export function equal(actual: unknown, expected: unknown, what: string): void {
  const [a, b] = [show(actual), show(expected)];
  if (a !== b) fail(`${what} should be ${b}, and is ${a}`);
}

function show(value: unknown): string {
  if (value === undefined) return "undefined";
  // Properties in order of their names: the order in which a store returns metadata means nothing.
  return JSON.stringify(value, (_, inner: unknown) =>
    inner !== null && typeof inner === "object" && !Array.isArray(inner)
      ? Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : 1)))
      : inner,
  );
}

export function equalBytes(actual: Uint8Array, expected: Uint8Array, what: string): void {
  if (actual.byteLength !== expected.byteLength) {
    fail(`${what} should have ${expected.byteLength} bytes, and has ${actual.byteLength}`);
  }
  // Four at a time: megabytes are compared, by unoptimised code.
  const words = actual.byteLength >> 2;
  const a = new Uint32Array(actual.slice().buffer, 0, words);
  const b = new Uint32Array(expected.slice().buffer, 0, words);
  let same = 0;
  while (same < words && a[same] === b[same]) same++;
  for (let i = same * 4; i < actual.byteLength; i++) {
    if (actual[i] !== expected[i]) fail(`${what} differs from what was written at byte ${i}`);
  }
}

/**
 * Returns the error of a call that must reject.
 *
 * @throws Error when it does not
 */
export async function rejection(promise: Promise<unknown>, what: string): Promise<unknown> {
  try {
    await promise;
  } catch (error) {
    return error;
  }
  return fail(`${what} should reject, and does not`);
}

export async function rejectsWithCode(promise: Promise<unknown>, code: ErrorCode, what: string): Promise<void> {
  const error = await rejection(promise, what);
  if (!isBucketCacheError(error)) fail(`${what} should reject with a BucketCacheError, not with ${String(error)}`);
  equal(error.code, code, `the code of the error when ${what}`);
}

/** Turns a hang into a message, after a time that is long for a store and shorter than the limit of most runners. */
export async function soon<T>(promise: Promise<T>, what: string): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`store conformance: ${what} should happen at once, and hangs`)), 4_000);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

export async function found(
  store: ObjectStore,
  key: string,
  options?: Parameters<ObjectStore["get"]>[1],
): Promise<FoundObject> {
  const result = await store.get(key, options);
  if (result === undefined) fail(`get of ${JSON.stringify(key)} should find an object, and is undefined`);
  if (result === "not-modified") fail(`get of ${JSON.stringify(key)} should find an object, and is "not-modified"`);
  return result;
}

export async function content(
  store: ObjectStore,
  key: string,
  options?: Parameters<ObjectStore["get"]>[1],
): Promise<Bytes> {
  return readAll((await found(store, key, options)).body, 1e9);
}

/** Makes bytes that do not repeat, so that parts in the wrong order are noticed. */
export function pattern(size: number): Bytes {
  const bytes = new Uint8Array(size);
  const words = new Uint32Array(bytes.buffer, 0, size >> 2);
  for (let i = 0; i < words.length; i++) words[i] = Math.imul(i, 2_654_435_761);
  return bytes;
}

/** Makes a stream of these bytes in chunks. It ends when `end` resolves, and fails when that rejects. */
export function chunked(bytes: Bytes, size: number, end?: () => unknown): ReadableStream<Bytes> {
  let at = 0;
  return new ReadableStream<Bytes>(
    {
      async pull(controller) {
        if (at < bytes.byteLength) return controller.enqueue(bytes.slice(at, (at += size)));
        await end?.();
        controller.close();
      },
    },
    { highWaterMark: 0 },
  );
}

/** Runs `work` on all items, a few at a time: a thousand requests at once are more than servers allow. */
export async function each<T>(items: readonly T[], work: (item: T, index: number) => Promise<unknown>): Promise<void> {
  let next = 0;
  const worker = async (): Promise<void> => {
    while (next < items.length) {
      const index = next++;
      await work(items[index] as T, index);
    }
  };
  await Promise.all(Array.from({ length: 24 }, worker));
}

/** Returns the metadata that a store takes: none where it makes the metadata of entries itself. */
export function metadataFor(store: ObjectStore, metadata: Record<string, string>): Record<string, string> {
  return store.stampsEntries === true ? {} : metadata;
}

export function equalMetadata(
  store: ObjectStore,
  actual: Record<string, string> | undefined,
  put: Record<string, string>,
  what: string,
): void {
  if (store.stampsEntries !== true) return equal(actual, put, what);
  equal(Object.keys(actual ?? {}), ["entry"], `names of ${what}`);
}
