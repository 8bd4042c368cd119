import { checkRange, clipRange } from "../base/range.js";
import { BucketCacheError } from "../errors.js";
import type { ByteRange, ObjectHead } from "../types.js";

/** The head of an object in a store that keeps objects itself. */
export interface LocalHead extends ObjectHead {
  cacheControl: string | undefined;
}

/**
 * Reads a stream to its end, one chunk at a time. An abort cancels the stream and rejects with the signal's reason; the
 * stream's own error passes; when `write` throws, the stream is cancelled with that error.
 */
export async function drain(
  stream: ReadableStream<Uint8Array>,
  { signal }: { signal?: AbortSignal | undefined },
  write: (chunk: Uint8Array) => void | Promise<void>,
): Promise<void> {
  const reader = stream.getReader();
  // Cancelling ends a pending read at once; racing it against a promise would keep every chunk alive until the end.
  const leave = (): void => void reader.cancel(signal?.reason).catch(() => {});
  signal?.addEventListener("abort", leave, { once: true });
  try {
    for (;;) {
      signal?.throwIfAborted();
      const { done, value } = await reader.read();
      signal?.throwIfAborted();
      if (done) return;
      await write(value);
    }
  } catch (error) {
    reader.cancel(error).catch(() => {});
    throw error;
  } finally {
    signal?.removeEventListener("abort", leave);
  }
}

/** Tells whether an object is still the one that a reader has. A new entry of the same bytes has the same ETag. */
export function isUnmodified(
  head: Pick<ObjectHead, "etag" | "lastModified">,
  ifNoneMatch: string | undefined,
  lastModified: Date | undefined,
): boolean {
  return ifNoneMatch === head.etag && (lastModified === undefined || +lastModified === +head.lastModified);
}

/**
 * Returns the bytes `[start, end)` of an object of `size` bytes that a read asks for, clipped to its end.
 *
 * @throws BucketCacheError `ERR_STORE` for a range that begins at or beyond the end, as S3 answers 416
 * @throws TypeError for a range that names no bytes of any object
 */
export function rangeWithin(
  range: ByteRange | undefined,
  size: number,
  details: { key: string; store: string },
): { start: number; end: number } {
  checkRange(range);
  if (range !== undefined && range.offset >= size) {
    throw new BucketCacheError(
      "ERR_STORE",
      `range begins at ${range.offset}, and the object has ${size} bytes (416); ask for its size first`,
      details,
    );
  }
  return clipRange(range, size);
}

/**
 * Checks the conditions of a write or a delete against the current object. A store must not await between this and the
 * change.
 *
 * @throws BucketCacheError `ERR_CONFLICT` when a condition fails
 */
export function checkConditions(
  current: { etag: string } | undefined,
  { ifMatch, ifNoneMatch }: { ifMatch?: string | undefined; ifNoneMatch?: string | undefined },
  details: { key: string; store: string },
): void {
  let problem: string | undefined;
  if (ifNoneMatch !== undefined && current !== undefined) problem = "the object exists";
  else if (ifMatch !== undefined && current === undefined) problem = "the object does not exist";
  else if (ifMatch !== undefined && ifMatch !== "*" && ifMatch !== current?.etag) problem = "the object has changed";
  if (problem !== undefined) {
    throw new BucketCacheError("ERR_CONFLICT", `condition failed: ${problem}; read it again`, details);
  }
}

/** Returns user metadata as S3 does: with names in lower case. */
export function lowerCaseNames(metadata: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(metadata).map(([name, value]) => [name.toLowerCase(), value]));
}

/** Makes the error of a body that is not the one announced (S3's 400 `BadDigest`). */
export function wrongDigest(details: { key: string; store: string }): BucketCacheError {
  return new BucketCacheError(
    "ERR_STORE",
    "the body does not have the announced SHA-256, so nothing was written: send the right body or digest",
    details,
  );
}

/** Compares keys by their UTF-8 bytes, as S3 lists them. UTF-16 order differs where surrogates meet U+E000 to U+FFFF. */
export function compareUtf8(a: string, b: string): number {
  const end = Math.min(a.length, b.length);
  for (let i = 0; i < end; i++) {
    const x = a.charCodeAt(i);
    const y = b.charCodeAt(i);
    if (x !== y) return rank(x) - rank(y);
  }
  return a.length - b.length;
}

// Surrogates stand for code points above all others, so they move behind U+FFFF.
function rank(unit: number): number {
  return unit >= 0xd800 && unit <= 0xdfff ? unit + 0x10000 : unit;
}
