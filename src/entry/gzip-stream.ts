/** Compresses and inflates streams, which are never in memory as a whole. */
import { concat } from "../base/bytes.js";
import type { Bytes } from "../types.js";
import { type Members, SECOND_MEMBER, streamDamage } from "./damage.js";
import { compressor, decompressor } from "./gzip.js";
import { gunzipStreamNative, gzipStreamNative, hasNativeGzip } from "./native.js";
import { findZlib, gunzipStreamZlib, gzipStreamZlib } from "./zlib.js";

/** Gives out what it makes of its input at once. */
export interface Engine {
  push(slice: Bytes): void;
  end(): void;
}

/** One direction of gzip. */
export interface Direction {
  /** Bytes of input that an engine is given at a time. */
  sliceSize: number;
  start(emit: (chunk: Bytes) => void): Engine;
}

/** Compresses a stream. Reads its source only as fast as it is read; errors and cancellation pass through unchanged. */
export function gzipStream(source: ReadableStream<Bytes>): ReadableStream<Bytes> {
  const zlib = findZlib();
  if (zlib !== undefined) return gzipStreamZlib(zlib, source);
  if (hasNativeGzip()) return gzipStreamNative(source);
  return through(source, () => compressor(async ({ compression }) => compression));
}

/**
 * Undoes gzip in a stream. The source's own errors pass through unchanged; damaged data is a `BucketCacheError`
 * `ERR_DAMAGED`, and the source is cancelled.
 *
 * @param members Says whether another program may have written several. The platform's streams refuse those.
 */
export function gunzipStream(source: ReadableStream<Bytes>, members: Members = "one"): ReadableStream<Bytes> {
  return members === "one" ? ofOneMember(source) : inflate(source, members);
}

function inflate(source: ReadableStream<Bytes>, members: Members): ReadableStream<Bytes> {
  const zlib = findZlib();
  if (zlib !== undefined) return gunzipStreamZlib(zlib, source);
  if (members === "one" && hasNativeGzip()) return gunzipStreamNative(source);
  return through(source, () => decompressor(async ({ decompression }) => decompression));
}

/**
 * Inflates a stream whose last member holds all of its content, as its trailer tells. A stream that begins with empty members
 * passes: they change nothing of what is read.
 */
function ofOneMember(source: ReadableStream<Bytes>): ReadableStream<Bytes> {
  let end: Bytes = new Uint8Array(0);
  let size = 0;
  const watched = observe(source, (chunk) => {
    end = concat([end, chunk.subarray(-4)]).slice(-4);
  });
  return observe(
    inflate(watched, "one"),
    (chunk) => {
      size += chunk.byteLength;
    },
    () => {
      // The size is written modulo 2^32.
      const written = new DataView(end.buffer).getUint32(0, true);
      if (written !== size % 0x1_0000_0000) throw streamDamage(SECOND_MEMBER);
    },
  );
}

/** Returns a stream as it is, and tells of its chunks and its end. Nothing is read ahead. */
function observe(
  source: ReadableStream<Bytes>,
  onChunk: (chunk: Bytes) => void,
  onEnd?: () => void,
): ReadableStream<Bytes> {
  const reader = source.getReader();
  return new ReadableStream<Bytes>(
    {
      async pull(controller) {
        const { done, value } = await reader.read();
        if (done) {
          onEnd?.();
          return controller.close();
        }
        onChunk(value);
        controller.enqueue(value);
      },
      cancel: (reason) => reader.cancel(reason),
    },
    { highWaterMark: 0 },
  );
}

/** Tells whether a stream of this type is worth compressing, before any of it was seen. */
export function compressible(contentType: string): boolean {
  const type = (contentType.split(";")[0] ?? "").trim().toLowerCase();
  return /^text\/|[/+-](json|jsonl|ndjson|json-seq|xml|xhtml|html|csv|javascript|ecmascript|typescript|yaml|toml|sql|sh|graphql|rtf|wasm|x-www-form-urlencoded|tar|bmp|ttf|otf)$|^application\/postscript$/.test(
    type,
  );
}

/**
 * Passes a stream through an engine, which is loaded when the first chunk is asked for. The engine is given a slice of its
 * source only when all that it made of the slices before has been read. The source's errors pass unchanged; cancelling
 * cancels the source.
 */
export function through(source: ReadableStream<Bytes>, load: () => Promise<Direction>): ReadableStream<Bytes> {
  const reader = source.getReader();
  const ready: Bytes[] = [];
  let sliceSize = 0;
  let engine: Engine | undefined;
  let input: Bytes = new Uint8Array(0);
  let ended = false;
  return new ReadableStream<Bytes>(
    {
      async pull(controller) {
        const giveUp = (failure: unknown): never => {
          reader.cancel(failure).catch(() => {});
          throw failure;
        };
        if (engine === undefined) {
          const direction = await load().catch(giveUp);
          sliceSize = direction.sliceSize;
          engine = direction.start((chunk) => {
            if (chunk.byteLength > 0) ready.push(chunk);
          });
        }
        for (;;) {
          const chunk = ready.shift();
          if (chunk !== undefined) return controller.enqueue(chunk);
          if (ended) return controller.close();
          if (input.byteLength === 0) {
            const { done, value } = await reader.read();
            if (done) ended = true;
            else input = value;
          }
          const slice = input.subarray(0, sliceSize);
          input = input.subarray(sliceSize);
          try {
            if (ended) engine.end();
            else if (slice.byteLength > 0) engine.push(slice);
          } catch (error) {
            giveUp(streamDamage(error));
          }
        }
      },
      cancel: (reason) => reader.cancel(reason),
    },
    { highWaterMark: 0 },
  );
}
