/** The body of an answer, resumed by range where it breaks off. */
import { onAbort } from "../base/abort.js";
import { concat, toBytes } from "../base/bytes.js";
import type { Bytes } from "../types.js";
import { failure, networkFailure, type Purpose } from "./failure.js";
import { backoffMs, pause, type Limits } from "./retry.js";
import type { Incoming } from "./transport.js";

/** Bytes of one range, where several requests read a body at once. A body of up to two ranges is read by one request. */
const RANGE_BYTES = 8 << 20;

/** Bytes that a stream holds in advance. */
const READ_AHEAD_BYTES = 262_144;

/** A body that breaks off is resumed as often as it moves this far, so that a line that dies with every byte ends it. */
const PROGRESS_BYTES = 1 << 20;

/** The object that a download reads, or a range of it. Offsets count from its beginning. */
export interface DownloadSource {
  purpose: Purpose;
  limits: Readonly<Limits>;
  signal: AbortSignal | undefined;
  /** Number of bytes that are to come; undefined when the store did not say. */
  size: number | undefined;
  /**
   * Asks for the bytes from `offset` to `last`, both included.
   *
   * @throws BucketCacheError `ERR_CONFLICT` when the object has changed
   */
  open(offset: number, last: number): Promise<Incoming>;
}

export class Download {
  readonly #source: DownloadSource;
  #response: Incoming;
  #receivedBytes = 0;
  /** Failures since the body last moved far enough. */
  #failures = 0;
  #failedAt = 0;
  #cancelled = false;

  constructor(response: Incoming, source: DownloadSource) {
    this.#response = response;
    this.#source = source;
  }

  get receivedBytes(): number {
    return this.#receivedBytes;
  }

  /** Resolves to the next bytes; undefined at the end. */
  async read(): Promise<Bytes | undefined> {
    for (;;) {
      try {
        const chunk = await this.#response.read();
        if (chunk === undefined) this.#checkEnd();
        else this.#count(chunk);
        return chunk;
      } catch (error) {
        await this.#resume(error);
      }
    }
  }

  /** Hands over all bytes, each chunk with its offset. */
  async drain(sink: (chunk: Uint8Array, offset: number) => void): Promise<void> {
    const take = (chunk: Uint8Array) => {
      const offset = this.#receivedBytes;
      this.#count(chunk);
      sink(chunk, offset);
    };
    for (;;) {
      try {
        await this.#response.drain(take);
        return this.#checkEnd();
      } catch (error) {
        await this.#resume(error);
      }
    }
  }

  /**
   * Reads all bytes in one piece.
   *
   * @throws BucketCacheError `ERR_TOO_LARGE` beyond `maxBytes`, without reading further
   */
  async readAll(maxBytes: number): Promise<Bytes> {
    const { size } = this.#source;
    if (size !== undefined && size > maxBytes) throw this.#tooLarge(maxBytes);
    if (size !== undefined && size > 2 * RANGE_BYTES) {
      // Where this file cannot be loaded, since the page is offline say, one request reads all.
      const parallel = await import("./parallel-download.js").catch(() => undefined);
      if (parallel !== undefined) return parallel.readInParallel(this, size, RANGE_BYTES);
    }
    let whole: Bytes | undefined;
    const chunks: Uint8Array[] = [];
    await this.drain((chunk, offset) => {
      if (this.#receivedBytes > maxBytes) throw this.#tooLarge(maxBytes);
      if (size === undefined) chunks.push(chunk);
      else if (chunk.byteLength === size && chunk.buffer.byteLength === size) whole = toBytes(chunk);
      else (whole ??= new Uint8Array(size)).set(chunk, offset);
    });
    return size === undefined ? concat(chunks) : (whole ?? new Uint8Array(0));
  }

  /** Returns the bytes as a stream, which reads them as they are asked for. */
  stream(): ReadableStream<Bytes> {
    const { signal } = this.#source;
    let leave = () => {};
    return new ReadableStream<Bytes>(
      {
        start: (controller) => {
          // A full queue asks for nothing, so no read would notice the abort.
          leave = onAbort(signal, () => {
            controller.error(signal?.reason);
            this.cancel();
          });
        },
        pull: async (controller) => {
          try {
            const chunk = await this.read();
            if (signal?.aborted === true) return;
            if (chunk !== undefined) return controller.enqueue(chunk);
            leave();
            controller.close();
          } catch (error) {
            leave();
            throw error;
          }
        },
        cancel: () => {
          leave();
          this.cancel();
        },
      },
      new ByteLengthQueuingStrategy({ highWaterMark: READ_AHEAD_BYTES }),
    );
  }

  /** Asks for a range of the body, as a download of its own. */
  async openRange(start: number, size: number): Promise<Download> {
    const open = (offset: number, last: number) => this.#source.open(start + offset, start + last);
    return new Download(await open(0, size - 1), { ...this.#source, size, open });
  }

  /** Gives up the answer. The bytes that follow can be had by `reopen`. */
  pause(): void {
    this.#response.cancel();
  }

  /** Asks for the bytes that have not been received. */
  async reopen(): Promise<void> {
    this.#response = await this.#source.open(this.#receivedBytes, (this.#source.size ?? 0) - 1);
  }

  /** Gives up the body for good: it is not resumed any more. */
  cancel(): void {
    this.#cancelled = true;
    this.#response.cancel();
  }

  #count(chunk: Uint8Array): void {
    const { size, purpose } = this.#source;
    this.#receivedBytes += chunk.byteLength;
    if (size !== undefined && this.#receivedBytes > size) {
      throw failure("ERR_PROTOCOL", `${purpose.store} sent more bytes than it announced`, purpose);
    }
  }

  #checkEnd(): void {
    const { size } = this.#source;
    if (size !== undefined && this.#receivedBytes < size) {
      throw new Error(`the body ended after ${this.#receivedBytes} of ${size} bytes`);
    }
  }

  #tooLarge(maxBytes: number): Error {
    this.cancel();
    const message = `the object is larger than the ${maxBytes} bytes that are allowed`;
    return failure("ERR_TOO_LARGE", message, this.#source.purpose);
  }

  /** @throws the error, where it is final */
  async #resume(cause: unknown): Promise<void> {
    const { purpose, limits, signal, size } = this.#source;
    this.#response.cancel();
    signal?.throwIfAborted();
    const error = networkFailure(cause, purpose);
    if (this.#receivedBytes - this.#failedAt >= PROGRESS_BYTES) this.#failures = 0;
    this.#failedAt = this.#receivedBytes;
    this.#failures++;
    // Without a size, nobody can tell where the object ends.
    const canResume = !this.#cancelled && size !== undefined && error.retry.retryable === true;
    if (!canResume || this.#failures >= limits.attempts) throw error;
    await pause(backoffMs(limits, this.#failures + 1), signal);
    await this.reopen();
  }
}
