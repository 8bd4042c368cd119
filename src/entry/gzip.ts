/**
 * Compresses values by node:zlib where there is one, else by the platform's streams.
 *
 * Measured on JSON, Node 20, microseconds a call (the zlib column is the synchronous call; the asynchronous one costs
 * 50 to 100 more, and leaves the event loop free):
 *
 *     plain bytes      256     1 Ki    4 Ki   16 Ki   64 Ki   1 Mi
 *     gzip zlib         21       23      65     264   1,053   14,300
 *          Compr.Str.  133      137     187     714   1,208   16,952
 *          fflate       70       94     207     753   3,302   56,090
 *     gunzip zlib       10       13      12      58     119    2,649
 *          Decom.Str.   99      124     104     207     294    5,158
 *          fflate       12       15      37     240     454   11,848
 *
 * fflate would save a tenth of a millisecond on small entries in browsers, next to a request that takes many, and
 * weighs 5 KiB there. Streams, MiB/s of plain bytes: gzip zlib 47, CompressionStream 43; gunzip zlib 360 (with 64 KiB
 * chunks), DecompressionStream 170.
 */
import { readAll, tooLarge, toStream } from "../base/body.js";
import { toBytes } from "../base/bytes.js";
import { BucketCacheError } from "../errors.js";
import { isNode, nodeBuiltin } from "../base/runtime.js";
import type { Bytes } from "../types.js";
import type { ZlibEngine } from "./zlib.js";

export const LEVEL = 6;
/** Bytes up to which the work takes less of the event loop's time than a thread costs: about half a millisecond. */
const ZLIB_SYNC_BYTES = 32_768;

interface Zlib {
  gzip(data: Uint8Array, options: object, done: (error: Error | null, result: Uint8Array) => void): void;
  gzipSync(data: Uint8Array, options: object): Uint8Array;
  gunzip(data: Uint8Array, options: object, done: (error: Error | null, result: Inflated) => void): void;
  gunzipSync(data: Uint8Array, options: object): Inflated;
  createGzip(options: object): ZlibEngine;
  createGunzip(options: object): ZlibEngine;
}

interface Inflated {
  buffer: Uint8Array;
  engine: { bytesWritten: number };
}

export const zlib = (): Zlib | undefined => nodeBuiltin<Zlib>("node:zlib");

/** Compresses at level 6, without a time in the header: equal bytes in give equal bytes out on one runtime. */
export function gzip(data: Bytes): Bytes | Promise<Bytes> {
  const node = zlib();
  if (node !== undefined) {
    if (data.byteLength <= ZLIB_SYNC_BYTES) return toBytes(node.gzipSync(data, { level: LEVEL }));
    return new Promise((resolve, reject) => {
      node.gzip(data, { level: LEVEL, chunkSize: 262_144 }, (error, result) =>
        error ? reject(error) : resolve(toBytes(result)),
      );
    });
  }
  return readAll(native(toStream(data), new CompressionStream("gzip")), Infinity);
}

/**
 * Undoes gzip and checks its checksum. Never inflates much more than `maxBytes`. Gzip allows several members in a row,
 * which this library never writes: node:zlib reads them all, and the platform's streams refuse all but the first.
 *
 * @throws BucketCacheError `ERR_TOO_LARGE` beyond `maxBytes`; Error, saying what is wrong, when the data is damaged,
 *   cut off or followed by anything else.
 */
export async function gunzip(data: Bytes, maxBytes: number): Promise<Bytes> {
  const node = zlib();
  return node === undefined
    ? readAll(native(toStream(data), new DecompressionStream("gzip")), maxBytes)
    : gunzipNode(node, data, maxBytes);
}

async function gunzipNode(node: Zlib, data: Bytes, maxBytes: number): Promise<Bytes> {
  const options = {
    info: true,
    // zlib takes neither 0 nor Infinity here.
    maxOutputLength: Math.max(1, Math.min(maxBytes, 0xffff_ffff)),
  };
  try {
    const { buffer, engine } =
      data.byteLength <= ZLIB_SYNC_BYTES
        ? node.gunzipSync(data, options)
        : await new Promise<Inflated>((resolve, reject) => {
            node.gunzip(data, { ...options, chunkSize: 262_144 }, (error, result) =>
              error ? reject(error) : resolve(result),
            );
          });
    if (buffer.byteLength > maxBytes) throw tooLarge(maxBytes);
    // zlib skips zeros behind the last member in silence.
    if (isNode() && engine.bytesWritten !== data.byteLength) throw damage("data follows its end");
    // A view of zlib's larger chunk would keep all of that alive in memory.
    return buffer.byteLength === buffer.buffer.byteLength ? toBytes(buffer) : new Uint8Array(buffer);
  } catch (error) {
    if ((error as { code?: unknown }).code === "ERR_BUFFER_TOO_LARGE") throw tooLarge(maxBytes);
    throw String((error as { code?: unknown }).code).startsWith("Z_") ? damage((error as Error).message, error) : error;
  }
}

/** Streams through a platform's transform. Errors of the transform are damage; those of the source pass unchanged. */
export function native(
  source: ReadableStream<Bytes>,
  transform: CompressionStream | DecompressionStream,
): ReadableStream<Bytes> {
  const reader = source.getReader();
  const writer = (transform.writable as WritableStream<Bytes>).getWriter();
  const output = (transform.readable as ReadableStream<Bytes>).getReader();
  let sourceError: { error: unknown } | undefined;
  let started = false;

  // pipeThrough would not do: it passes the source's error on as the transform's, and cancels the source too late.
  const feed = async (): Promise<void> => {
    for (;;) {
      await writer.ready;
      let chunk;
      try {
        chunk = await reader.read();
      } catch (error) {
        sourceError = { error };
        return writer.abort(error);
      }
      if (chunk.done) return writer.close();
      await writer.write(chunk.value);
    }
  };

  return new ReadableStream<Bytes>(
    {
      async pull(controller) {
        // A transform that fails also fails its readable side.
        if (!started) feed().catch(() => {});
        started = true;
        try {
          const { done, value } = await output.read();
          if (done) controller.close();
          else controller.enqueue(value);
        } catch (error) {
          if (sourceError !== undefined) throw sourceError.error;
          const failure = streamDamage(error);
          reader.cancel(failure).catch(() => {});
          throw failure;
        }
      },
      async cancel(reason) {
        output.cancel(reason).catch(() => {});
        await reader.cancel(reason);
      },
    },
    { highWaterMark: 0 },
  );
}

function damage(reason: string, cause?: unknown): Error {
  return new Error(`damaged gzip data: ${reason}`, { cause });
}

export function streamDamage(cause: unknown): BucketCacheError {
  const reason = cause instanceof Error ? cause.message.replace(/^damaged gzip data: /, "") : String(cause);
  return new BucketCacheError("ERR_DAMAGED", `damaged gzip data: ${reason}; write the entry again`, { cause });
}
