/** Uploads in parts: what is larger than one part, or a stream whose length nobody knows. */
import { onAbort, untilAborted } from "../base/abort.js";
import type { UploadedPart, WriteCondition } from "../types.js";
import type { MultipartUpload } from "./operations.js";
import { failure, type Purpose } from "./refusal.js";
import { perform, type Plane } from "./perform.js";
import { isBrowser } from "../base/runtime.js";
import type { Begun } from "./first-part.js";
import type { Progress } from "../types.js";

export interface UploadOptions {
  key: string;
  /** Bytes of each part but the last: R2 wants them equal. */
  partSize: number;
  maxParts: number;
  condition: WriteCondition;
  signal: AbortSignal | undefined;
  onProgress: ((progress: Progress) => void) | undefined;
  total: number | undefined;
}

interface Part {
  body: Uint8Array | Blob;
  size: number;
  /** Called when the body is no longer needed. */
  release(): void;
}

/** Parts one after the other; undefined at the end. */
interface Parts {
  next(): Promise<Part | undefined>;
  cancel(reason: unknown): void;
}

const PARALLEL = 4;

/** How long an upload that nobody wants any more is given to begin, so that it can be removed. Milliseconds. */
const LAST_ANSWER = 1_000;

/**
 * Uploads all or nothing. When the source fails, the signal aborts or the store refuses, the parts in flight are
 * stopped and waited for, and the upload is aborted, before the promise rejects.
 */
export async function uploadParts(
  plane: Plane,
  upload: MultipartUpload,
  source: Uint8Array | Blob | Begun,
  options: UploadOptions,
): Promise<{ etag: string }> {
  const { key, partSize, condition, signal, onProgress, total } = options;
  const purpose: Purpose = { store: plane.name, key, action: "s3:PutObject" };
  const parts = "reader" in source ? partsOfStream(source, partSize) : partsOfBytes(source, partSize);
  const stop = new AbortController();
  const leave = onAbort(signal, () => {
    stop.abort(signal?.reason);
    // A source that waits for its next chunk would never notice.
    parts.cancel(signal?.reason);
  });
  // Whoever leaves before the id is known leaves no upload behind, if the store answers soon.
  const patience = new AbortController();
  let creating: Promise<string> | undefined;
  try {
    signal?.throwIfAborted();
    creating = upload.create(patience.signal);
    const id = await untilAborted(creating, signal);
    const uploaded: UploadedPart[] = [];
    let loaded = 0;

    const send = (part: Part, partNumber: number) =>
      perform<void>(plane, {
        purpose,
        sign: (renew) => upload.signPart(id, partNumber, part.size, renew),
        body: part.body,
        signal: stop.signal,
        accept(response) {
          response.cancel();
          uploaded[partNumber - 1] = { partNumber, etag: response.header("etag") ?? "" };
        },
      }).then(() => {
        part.release();
        loaded += part.size;
        onProgress?.({ loaded, total });
      });

    // Lanes take turns at the source, so that at most one part is filled while the others are on their way.
    let turn: Promise<unknown> = Promise.resolve();
    let count = 0;
    const lane = async () => {
      for (;;) {
        const taken = turn.then(async () => {
          stop.signal.throwIfAborted();
          const part = await parts.next();
          stop.signal.throwIfAborted();
          if (part === undefined) return undefined;
          if (++count > options.maxParts) {
            const limit = `${options.maxParts} parts of ${partSize} bytes`;
            throw failure("ERR_TOO_LARGE", `the stream is larger than ${limit}: set a larger partSize`, purpose);
          }
          return { part, partNumber: count };
        });
        turn = taken.catch(() => {});
        const next = await taken;
        if (next === undefined) return;
        await send(next.part, next.partNumber);
      }
    };
    const lanes = Array.from({ length: plane.concurrency ?? PARALLEL }, async () => {
      try {
        await lane();
      } catch (error) {
        // The first failure stops the others; what they then throw is no news.
        stop.abort(error);
        parts.cancel(error);
        throw error;
      }
    });
    await Promise.allSettled(lanes);
    stop.signal.throwIfAborted();
    return await upload.complete(id, uploaded, condition, signal);
  } catch (error) {
    parts.cancel(error);
    // What a failed abort leaves behind is for the bucket's lifecycle rule.
    const timer = setTimeout(() => patience.abort(error), LAST_ANSWER);
    await creating?.then((id) => upload.abort(id)).catch(() => {});
    clearTimeout(timer);
    throw error;
  } finally {
    leave();
  }
}

function partsOfBytes(source: Uint8Array | Blob, partSize: number): Parts {
  const size = source instanceof Uint8Array ? source.byteLength : source.size;
  let offset = 0;
  return {
    async next() {
      if (offset >= size) return undefined;
      const end = Math.min(offset + partSize, size);
      const body = source instanceof Uint8Array ? source.subarray(offset, end) : source.slice(offset, end);
      const part = { body, size: end - offset, release() {} };
      offset = end;
      return part;
    },
    cancel() {},
  };
}

/** Fills buffers of one part, and uses them again: a long stream makes no garbage. */
function partsOfStream(begun: Begun, partSize: number): Parts {
  const { reader } = begun;
  const free: Uint8Array[] = [];
  let first: Uint8Array | undefined = begun.first;
  let rest: Uint8Array | undefined = begun.rest;
  let ended = false;
  let cancelled = false;

  async function chunk(): Promise<Uint8Array | undefined> {
    const kept = rest;
    rest = undefined;
    if (kept !== undefined) return kept;
    const { done, value } = await reader.read();
    if (!done && !(value instanceof Uint8Array)) throw new TypeError("a stream must yield Uint8Array");
    return value;
  }

  return {
    async next() {
      if (ended) return undefined;
      if (first !== undefined) {
        const body = first;
        first = undefined;
        return { body, size: partSize, release: () => void free.push(body) };
      }
      const buffer = free.pop() ?? new Uint8Array(partSize);
      let size = 0;
      while (size < partSize) {
        const next = await chunk();
        if (next === undefined) {
          ended = true;
          break;
        }
        const fits = next.subarray(0, partSize - size);
        buffer.set(fits, size);
        size += fits.byteLength;
        if (fits.byteLength < next.byteLength) rest = next.subarray(fits.byteLength);
      }
      if (size === 0) return undefined;
      const body = buffer.subarray(0, size);
      if (!isBrowser()) return { body, size, release: () => void free.push(buffer) };
      // A page gives the bytes to the browser, and has the buffer back at once.
      free.push(buffer);
      return { body: new Blob([body as Uint8Array<ArrayBuffer>]), size, release() {} };
    },
    cancel(reason) {
      if (cancelled) return;
      cancelled = true;
      void reader.cancel(reason).catch(() => {});
    },
  };
}
