/** gzip by the platform's `CompressionStream` and `DecompressionStream`: in browsers and on edge runtimes. */
import { readAll, toStream } from "../base/body.js";
import type { Bytes } from "../types.js";
import { streamDamage } from "./damage.js";

/** Whether the platform has both streams; pages of before 2023 have neither. */
export function hasNativeGzip(): boolean {
  return typeof CompressionStream === "function" && typeof DecompressionStream === "function";
}

/** Compresses a whole value. */
export function gzipNative(data: Bytes): Promise<Bytes> {
  return readAll(gzipStreamNative(toStream(data)), Infinity);
}

/** Decompresses a whole value of a single member; the stream is given up as soon as it exceeds `maxBytes`. */
export function gunzipNative(data: Bytes, maxBytes: number): Promise<Bytes> {
  return readAll(gunzipStreamNative(toStream(data)), maxBytes);
}

/** Compresses a stream. */
export function gzipStreamNative(source: ReadableStream<Bytes>): ReadableStream<Bytes> {
  return through(source, new CompressionStream("gzip"));
}

/** Decompresses a stream of a single member: the Compression Streams standard refuses what follows it. */
export function gunzipStreamNative(source: ReadableStream<Bytes>): ReadableStream<Bytes> {
  return through(source, new DecompressionStream("gzip"));
}

/** A stream through a platform's transform, whose own errors are damage. */
function through(
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
