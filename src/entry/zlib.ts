import { isNode } from "../base/runtime.js";
import type { Bytes } from "../types.js";

/** The part of a `node:zlib` transform that is used here, without Node's types. */
export interface ZlibEngine {
  on(event: "readable" | "end" | "drain" | "close", listener: () => void): unknown;
  on(event: "error", listener: (error: Error) => void): unknown;
  write(chunk: Uint8Array): boolean;
  end(): void;
  read(): Uint8Array | null;
  destroy(): void;
  /** Bytes of the input that it has taken. */
  readonly bytesWritten: number;
}

/**
 * Streams through a `node:zlib` transform. This is more than twice as fast as Node's `DecompressionStream`, because the
 * chunks are larger. Back-pressure reaches the source, its errors pass unchanged, and cancelling cancels it.
 */
export function throughZlib(
  source: ReadableStream<Bytes>,
  engine: ZlibEngine,
  explain: (error: unknown) => Error,
): ReadableStream<Bytes> {
  const reader = source.getReader();
  let failure: { error: unknown } | undefined;
  let fed = 0;
  let started = false;
  let inputEnded = false;
  let outputEnded = false;
  let readable = (): void => {};
  let writable = (): void => {};

  const fail = (error: unknown): void => {
    failure ??= { error };
    engine.destroy();
    readable();
    writable();
  };
  const damaged = (cause: unknown): void => {
    const error = explain(cause);
    fail(error);
    reader.cancel(error).catch(() => {});
  };
  engine.on("readable", () => readable());
  engine.on("drain", () => writable());
  engine.on("error", damaged);
  engine.on("end", () => {
    outputEnded = true;
    // The engine ends early, and in silence, at zeros behind the last member.
    if (!inputEnded || (isNode() && engine.bytesWritten !== fed)) damaged(new Error("data follows its end"));
    readable();
  });

  const feed = async (): Promise<void> => {
    try {
      while (failure === undefined) {
        const { done, value } = await reader.read();
        if (failure !== undefined) return;
        if (done) {
          inputEnded = true;
          return engine.end();
        }
        fed += value.byteLength;
        if (value.byteLength > 0 && !engine.write(value)) await new Promise<void>((resolve) => (writable = resolve));
      }
    } catch (error) {
      fail(error);
    }
  };

  return new ReadableStream<Bytes>(
    {
      async pull(controller) {
        if (!started) {
          started = true;
          void feed();
        }
        for (;;) {
          if (failure !== undefined) throw failure.error;
          const chunk = engine.read();
          if (chunk !== null) {
            return controller.enqueue(new Uint8Array(chunk.buffer as ArrayBuffer, chunk.byteOffset, chunk.byteLength));
          }
          if (outputEnded) return controller.close();
          await new Promise<void>((resolve) => (readable = resolve));
        }
      },
      cancel(reason) {
        fail(reason);
        return reader.cancel(reason);
      },
    },
    { highWaterMark: 0 },
  );
}
