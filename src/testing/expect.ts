import { readAll } from "../base/body.js";
import { type ErrorCode, isBucketCacheError } from "../errors.js";
import type { Bytes, ObjectHead, ObjectStore } from "../types.js";

// No assertion library: these run under any runner, in any runtime, and say in words which promise was broken.

export type Found = ObjectHead & { body: ReadableStream<Bytes> };

/** A promise that was broken. */
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

/** What a call rejected with; that it does not reject is a broken promise. */
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

/** Turns a hang into a message; long enough for any store that works, shorter than the patience of most runners. */
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
): Promise<Found> {
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

/** Bytes that do not repeat, so that parts in the wrong order are noticed. */
export function pattern(size: number): Bytes {
  const bytes = new Uint8Array(size);
  const words = new Uint32Array(bytes.buffer, 0, size >> 2);
  for (let i = 0; i < words.length; i++) words[i] = Math.imul(i, 2_654_435_761);
  return bytes;
}

/** A stream of these bytes in chunks, which then ends, or fails, or does what `end` does. */
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

/** Runs over all items, a few at a time: a thousand requests at once are more than servers allow. */
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

/** Metadata as a store takes it: where a presign handler makes those of entries, nobody else chooses any. */
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
