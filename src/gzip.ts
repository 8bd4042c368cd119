/**
 * gzip by whatever is fastest where we run. Loaded when something is first compressed or decompressed.
 *
 * Measured on JSON, Node 20, microseconds a call (the zlib column is the synchronous call; the asynchronous one costs
 * 50 to 100 more, and leaves the event loop free):
 *
 *     plain bytes      256     1 Ki    4 Ki   16 Ki   64 Ki   1 Mi
 *     gzip fflate       70       94     207     753   3,302   56,090
 *          zlib         21       23      65     264   1,053   14,300
 *          Compr.Str.  133      137     187     714   1,208   16,952
 *     gunzip fflate     12       15      37     240     454   11,848
 *          zlib         10       13      12      58     119    2,649
 *          Decom.Str.   99      124     104     207     294    5,158
 *
 * So node:zlib always wins where it exists, and elsewhere fflate wins below some KiB. Streams, MiB/s of plain bytes:
 * gzip zlib 47, CompressionStream 43, fflate 10; gunzip zlib 360 (with 64 KiB chunks), DecompressionStream 170, fflate 63.
 */
import { Gunzip, Gzip, gzipSync } from "fflate";
import { concat, readAll, toBytes, tooLarge, toStream } from "./bytes.js";
import { BucketCacheError, isBucketCacheError } from "./errors.js";
import { isNode, nodeBuiltin } from "./runtime.js";
import type { Bytes } from "./types.js";
import { type ZlibEngine, throughZlib } from "./zlib.js";

const LEVEL = 6;
/** Below, fflate is faster than setting up a CompressionStream. */
const GZIP_NATIVE = 4_096;
/** The same for decompression, in compressed bytes. */
const GUNZIP_NATIVE = 2_048;
/** Up to here the work takes less of the event loop's time than a thread costs: about half a millisecond. */
const ZLIB_SYNC = 32_768;
/** fflate inflates what it gets at once, up to 1,032 times as much: what may exceed a limit by before it is noticed. */
const SLICE = 16_384;

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

const zlib = (): Zlib | undefined => nodeBuiltin<Zlib>("node:zlib");

/** gzip at level 6, without a time in its header: equal bytes in give equal bytes out on one runtime. */
export function gzip(data: Bytes): Bytes | Promise<Bytes> {
  const node = zlib();
  if (node !== undefined) {
    if (data.byteLength <= ZLIB_SYNC) return toBytes(node.gzipSync(data, { level: LEVEL }));
    return new Promise((resolve, reject) => {
      node.gzip(data, { level: LEVEL, chunkSize: 262_144 }, (error, result) =>
        error ? reject(error) : resolve(toBytes(result)),
      );
    });
  }
  if (data.byteLength < GZIP_NATIVE || !("CompressionStream" in globalThis)) {
    return toBytes(gzipSync(data, { level: LEVEL, mtime: 0 }));
  }
  return readAll(native(toStream(data), new CompressionStream("gzip")), Infinity);
}

/**
 * Undoes gzip, of one member or several in a row, and checks every checksum. Never inflates much more than `maxBytes`.
 *
 * @throws BucketCacheError `ERR_TOO_LARGE` beyond `maxBytes`; Error, saying what is wrong, when the data is damaged,
 *   cut off or followed by anything else.
 */
export async function gunzip(data: Bytes, maxBytes: number): Promise<Bytes> {
  const node = zlib();
  if (node !== undefined) return gunzipNode(node, data, maxBytes);
  if (data.byteLength >= GUNZIP_NATIVE && "DecompressionStream" in globalThis) {
    try {
      return await readAll(native(toStream(data), new DecompressionStream("gzip")), maxBytes);
    } catch (error) {
      if (isBucketCacheError(error) && error.code === "ERR_TOO_LARGE") throw error;
      // The standard forbids a second member, which gzip allows: fflate has the last word.
    }
  }
  const chunks: Bytes[] = [];
  let size = 0;
  const members = new Members((chunk) => {
    size += chunk.byteLength;
    if (size > maxBytes) throw tooLarge(maxBytes);
    chunks.push(chunk);
  });
  for (let at = 0; at < data.byteLength; at += SLICE) members.push(data.subarray(at, at + SLICE));
  members.end();
  return concat(chunks);
}

async function gunzipNode(node: Zlib, data: Bytes, maxBytes: number): Promise<Bytes> {
  const options = {
    info: true,
    // zlib takes neither 0 nor Infinity here.
    maxOutputLength: Math.max(1, Math.min(maxBytes, 0xffff_ffff)),
  };
  try {
    const { buffer, engine } =
      data.byteLength <= ZLIB_SYNC
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

/** gzip as it flows. Reads its source only as fast as it is read; errors and cancellation pass through unchanged. */
export function gzipStream(source: ReadableStream<Bytes>): ReadableStream<Bytes> {
  const node = zlib();
  if (node !== undefined)
    return throughZlib(source, node.createGzip({ level: LEVEL, chunkSize: 65_536 }), streamDamage);
  if ("CompressionStream" in globalThis) return native(source, new CompressionStream("gzip"));
  return pushed(source, (emit) => {
    const stream = new Gzip({ level: LEVEL, mtime: 0 }, (chunk) => emit(toBytes(chunk)));
    return {
      push: (chunk) => stream.push(chunk),
      end: () => stream.push(new Uint8Array(0), true),
    };
  });
}

/**
 * Undoes gzip as it flows, of one member or several. The source's own errors pass through unchanged; damaged data is a
 * `BucketCacheError` `ERR_DAMAGED`, and the source is cancelled.
 *
 * @param single - The content is known to be one member, as our own is: then browsers may use their faster decoder,
 *   which refuses more.
 */
export function gunzipStream(source: ReadableStream<Bytes>, single = false): ReadableStream<Bytes> {
  const node = zlib();
  if (node !== undefined) return throughZlib(source, node.createGunzip({ chunkSize: 65_536 }), streamDamage);
  if (single && "DecompressionStream" in globalThis) return native(source, new DecompressionStream("gzip"));
  return pushed(source, (emit) => new Members(emit));
}

/** Whether content of this type is worth compressing as it flows, before any of it was seen. */
export function compressible(contentType: string): boolean {
  const type = (contentType.split(";")[0] ?? "").trim().toLowerCase();
  return /^text\/|[/+-](json|jsonl|ndjson|json-seq|xml|xhtml|html|csv|javascript|ecmascript|typescript|yaml|toml|sql|sh|graphql|rtf|wasm|x-www-form-urlencoded|tar|bmp|ttf|otf)$|^application\/postscript$/.test(
    type,
  );
}

/** A stream through a platform's transform, whose own errors are damage. */
function native(
  source: ReadableStream<Bytes>,
  transform: CompressionStream | DecompressionStream,
): ReadableStream<Bytes> {
  const reader = source.getReader();
  const writer = (transform.writable as WritableStream<Bytes>).getWriter();
  const output = (transform.readable as ReadableStream<Bytes>).getReader();
  let own: { error: unknown } | undefined;
  let started = false;

  // Not pipeThrough: there the source's error comes out as the transform's, and is told of a cancellation too late.
  const feed = async (): Promise<void> => {
    for (;;) {
      await writer.ready;
      let chunk;
      try {
        chunk = await reader.read();
      } catch (error) {
        own = { error };
        return writer.abort(error);
      }
      if (chunk.done) return writer.close();
      await writer.write(chunk.value);
    }
  };

  return new ReadableStream<Bytes>(
    {
      async pull(controller) {
        // A transform that fails tells it on its readable side too.
        if (!started) feed().catch(() => {});
        started = true;
        try {
          const { done, value } = await output.read();
          if (done) controller.close();
          else controller.enqueue(value);
        } catch (error) {
          if (own !== undefined) throw own.error;
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

function streamDamage(cause: unknown): BucketCacheError {
  const reason = cause instanceof Error ? cause.message.replace(/^damaged gzip data: /, "") : String(cause);
  return new BucketCacheError("ERR_DAMAGED", `damaged gzip data: ${reason}; write the entry again`, { cause });
}

/** Pulls a source through a synchronous coder, a slice at a time and only when more output is wanted. */
function pushed(
  source: ReadableStream<Bytes>,
  make: (emit: (chunk: Bytes) => void) => { push(chunk: Bytes): void; end(): void },
): ReadableStream<Bytes> {
  const reader = source.getReader();
  let rest: Bytes = new Uint8Array(0);
  const out: Bytes[] = [];
  const coder = make((chunk) => {
    if (chunk.byteLength > 0) out.push(chunk);
  });
  return new ReadableStream<Bytes>(
    {
      async pull(controller) {
        while (out.length === 0) {
          let ended = false;
          if (rest.byteLength === 0) {
            const { done, value } = await reader.read();
            if (done) ended = true;
            else rest = value;
          }
          try {
            if (ended) coder.end();
            else coder.push(rest.subarray(0, SLICE));
          } catch (error) {
            const failure = streamDamage(error);
            reader.cancel(failure).catch(() => {});
            throw failure;
          }
          rest = rest.subarray(SLICE);
          if (ended) {
            for (const chunk of out) controller.enqueue(chunk);
            return controller.close();
          }
        }
        for (const chunk of out.splice(0)) controller.enqueue(chunk);
      },
      cancel: (reason) => reader.cancel(reason),
    },
    { highWaterMark: 0 },
  );
}

/** gzip members in a row, by fflate, with each member's checksum and size verified, which fflate leaves to its callers. */
class Members {
  readonly #gunzip: Gunzip;
  /** The last bytes seen: a member's trailer is known as one only when the next member has begun. */
  #recent: Bytes = new Uint8Array(0);
  #total = 0;
  #crc = -1;
  #size = 0;

  constructor(emit: (chunk: Bytes) => void) {
    this.#gunzip = new Gunzip((chunk) => {
      this.#crc = crc32(this.#crc, chunk);
      this.#size += chunk.byteLength;
      emit(toBytes(chunk));
    });
    this.#gunzip.onmember = (offset) => this.#verify(offset);
  }

  push(chunk: Bytes, final = false): void {
    this.#total += chunk.byteLength;
    this.#recent = concat([this.#recent.subarray(-1_024), chunk]);
    try {
      this.#gunzip.push(chunk, final);
    } catch (error) {
      if (isBucketCacheError(error) || (error as Error).message.startsWith("damaged")) throw error;
      throw damage((error as Error).message, error);
    }
  }

  end(): void {
    this.push(new Uint8Array(0), true);
    this.#verify(this.#total);
  }

  #verify(end: number): void {
    const at = this.#recent.byteLength - (this.#total - end) - 8;
    if (at < 0) throw damage("unexpected end of file");
    const trailer = new DataView(this.#recent.buffer, at, 8);
    if (trailer.getInt32(0, true) !== ~this.#crc || trailer.getUint32(4, true) !== this.#size >>> 0) {
      throw damage("it is cut off, changed, or data follows its end (checksum or size differs)");
    }
    this.#crc = -1;
    this.#size = 0;
  }
}

let table: Int32Array | undefined;

/** The CRC-32 of RFC 1952, before its final inversion. */
function crc32(crc: number, bytes: Uint8Array): number {
  table ??= Int32Array.from({ length: 256 }, (_, n) => {
    for (let bit = 0; bit < 8; bit++) n = n & 1 ? (n >>> 1) ^ 0xedb88320 : n >>> 1;
    return n;
  });
  for (const byte of bytes) crc = (table[(crc ^ byte) & 0xff] as number) ^ (crc >>> 8);
  return crc;
}
