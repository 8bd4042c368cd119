/** Compresses bodies on their way, which are not in memory as a whole. */
import type { Bytes } from "../types.js";
import { LEVEL, native, streamDamage, zlib } from "./gzip.js";
import { throughZlib } from "./zlib.js";

/** Compresses a stream. Reads its source only as fast as it is read; errors and cancellation pass through unchanged. */
export function gzipStream(source: ReadableStream<Bytes>): ReadableStream<Bytes> {
  const node = zlib();
  if (node !== undefined)
    return throughZlib(source, node.createGzip({ level: LEVEL, chunkSize: 65_536 }), streamDamage);
  return native(source, new CompressionStream("gzip"));
}

/**
 * Undoes gzip in a stream. Errors of the source pass through unchanged. Damaged data is a `BucketCacheError`
 * `ERR_DAMAGED`, and the source is cancelled.
 */
export function gunzipStream(source: ReadableStream<Bytes>): ReadableStream<Bytes> {
  const node = zlib();
  return node === undefined
    ? native(source, new DecompressionStream("gzip"))
    : throughZlib(source, node.createGunzip({ chunkSize: 65_536 }), streamDamage);
}

/** Tells whether a stream of this type is worth compressing, before any of it was seen. */
export function compressible(contentType: string): boolean {
  const type = (contentType.split(";")[0] ?? "").trim().toLowerCase();
  return /^text\/|[/+-](json|jsonl|ndjson|json-seq|xml|xhtml|html|csv|javascript|ecmascript|typescript|yaml|toml|sql|sh|graphql|rtf|wasm|x-www-form-urlencoded|tar|bmp|ttf|otf)$|^application\/postscript$/.test(
    type,
  );
}
