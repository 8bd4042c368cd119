/** Compresses and inflates streams, which are never in memory as a whole. */
import type { Bytes } from "../types.js";
import type * as Fflate from "./fflate.js";
import { fflate } from "./gzip.js";
import { gunzipStreamNative, gzipStreamNative, hasNativeGzip } from "./native.js";
import { findZlib, gunzipStreamZlib, gzipStreamZlib } from "./zlib.js";

/** Compresses a stream. Reads its source only as fast as it is read; errors and cancellation pass through unchanged. */
export function gzipStream(source: ReadableStream<Bytes>): ReadableStream<Bytes> {
  const zlib = findZlib();
  if (zlib !== undefined) return gzipStreamZlib(zlib, source);
  if (hasNativeGzip()) return gzipStreamNative(source);
  return onceLoaded(source, ({ gzipStreamFflate }) => gzipStreamFflate(source));
}

/**
 * Undoes gzip in a stream. The source's own errors pass through unchanged; damaged data is a `BucketCacheError`
 * `ERR_DAMAGED`, and the source is cancelled.
 *
 * @param foreign Whether another program wrote the data, perhaps as several members. The platform's streams refuse those.
 */
export function gunzipStream(source: ReadableStream<Bytes>, foreign = false): ReadableStream<Bytes> {
  const zlib = findZlib();
  if (zlib !== undefined) return gunzipStreamZlib(zlib, source);
  if (!foreign && hasNativeGzip()) return gunzipStreamNative(source);
  return onceLoaded(source, ({ gunzipStreamFflate }) => gunzipStreamFflate(source));
}

/** Tells whether a stream of this type is worth compressing, before any of it was seen. */
export function compressible(contentType: string): boolean {
  const type = (contentType.split(";")[0] ?? "").trim().toLowerCase();
  return /^text\/|[/+-](json|jsonl|ndjson|json-seq|xml|xhtml|html|csv|javascript|ecmascript|typescript|yaml|toml|sql|sh|graphql|rtf|wasm|x-www-form-urlencoded|tar|bmp|ttf|otf)$|^application\/postscript$/.test(
    type,
  );
}

/** Returns a stream that fflate makes of its source. fflate is loaded when the first chunk is asked for. */
function onceLoaded(
  source: ReadableStream<Bytes>,
  open: (part: typeof Fflate) => ReadableStream<Bytes>,
): ReadableStream<Bytes> {
  let reader: ReadableStreamDefaultReader<Bytes> | undefined;
  return new ReadableStream<Bytes>(
    {
      async pull(controller) {
        try {
          reader ??= await fflate(async (part) => open(part).getReader());
        } catch (error) {
          source.cancel(error).catch(() => {});
          throw error;
        }
        const { done, value } = await reader.read();
        if (done) controller.close();
        else controller.enqueue(value);
      },
      cancel: (reason) => (reader ?? source).cancel(reason),
    },
    { highWaterMark: 0 },
  );
}
