import { onAbort } from "./abort.js";
import { concat, toBytes } from "./bytes.js";
import { failure, networkFailure, troubleOf, type Purpose } from "./refusal.js";
import { pause, type Limits } from "./retry.js";
import type { Incoming } from "./send.js";
import type { Bytes } from "./types.js";

/** What streams hold in advance. Bytes. */
const READ_AHEAD = 262_144;

/** A body that breaks off is resumed as often as it moves this far, so that a line that dies every byte ends it. */
const PROGRESS = 1 << 20;

/** The body of an answer, resumed by range where it breaks off. */
export class Download {
  #response: Incoming;
  /** Bytes that are to come in all; undefined when the store did not say. */
  readonly #expected: number | undefined;
  readonly #reopen: (offset: number) => Promise<Incoming>;
  readonly #purpose: Purpose;
  readonly #limits: Limits;
  readonly #signal: AbortSignal | undefined;
  #received = 0;
  #failures = 0;
  #lastFailure = 0;
  #left = false;

  constructor(
    response: Incoming,
    expected: number | undefined,
    reopen: (offset: number) => Promise<Incoming>,
    purpose: Purpose,
    limits: Limits,
    signal: AbortSignal | undefined,
  ) {
    this.#response = response;
    this.#expected = expected;
    this.#reopen = reopen;
    this.#purpose = purpose;
    this.#limits = limits;
    this.#signal = signal;
  }

  async #read(): Promise<Bytes | undefined> {
    for (;;) {
      try {
        const chunk = await this.#response.read();
        if (chunk === undefined) {
          this.#checkEnd();
          return undefined;
        }
        this.#count(chunk);
        return chunk;
      } catch (error) {
        await this.#resume(error);
      }
    }
  }

  /**
   * All bytes in one piece.
   *
   * @throws BucketCacheError `ERR_TOO_LARGE` beyond `maxBytes`, without reading further.
   */
  async all(maxBytes: number): Promise<Bytes> {
    const expected = this.#expected;
    if ((expected ?? 0) > maxBytes) throw this.#tooLarge(maxBytes);
    // The place for ranges in parallel: the size is known here, and nothing has been read.
    let target: Bytes | undefined;
    const chunks: Uint8Array[] = [];
    const sink = (chunk: Uint8Array) => {
      const offset = this.#received;
      this.#count(chunk);
      if (this.#received > maxBytes) throw this.#tooLarge(maxBytes);
      if (expected === undefined) chunks.push(chunk);
      else if (chunk.byteLength === expected && chunk.buffer.byteLength === expected) target = toBytes(chunk);
      else (target ??= new Uint8Array(expected)).set(chunk, offset);
    };
    for (;;) {
      try {
        await this.#response.drain(sink);
        this.#checkEnd();
        break;
      } catch (error) {
        await this.#resume(error);
      }
    }
    if (expected !== undefined) return target ?? new Uint8Array(0);
    return concat(chunks);
  }

  stream(): ReadableStream<Bytes> {
    const signal = this.#signal;
    let leave = () => {};
    return new ReadableStream<Bytes>(
      {
        start: (controller) => {
          // A full queue asks for nothing, so no read would meet the abort.
          leave = onAbort(signal, () => {
            controller.error(signal?.reason);
            this.#leave();
          });
        },
        pull: async (controller) => {
          try {
            const chunk = await this.#read();
            if (signal?.aborted === true) return;
            if (chunk !== undefined) controller.enqueue(chunk);
            else {
              leave();
              controller.close();
            }
          } catch (error) {
            leave();
            throw error;
          }
        },
        cancel: () => {
          leave();
          this.#leave();
        },
      },
      new ByteLengthQueuingStrategy({ highWaterMark: READ_AHEAD }),
    );
  }

  /** Nobody reads on: what breaks off from here on is not resumed. */
  #leave(): void {
    this.#left = true;
    this.#response.cancel();
  }

  #count(chunk: Uint8Array): void {
    this.#received += chunk.byteLength;
    if (this.#expected !== undefined && this.#received > this.#expected) {
      throw failure("ERR_PROTOCOL", `${this.#purpose.store} sent more bytes than it announced`, this.#purpose);
    }
  }

  #checkEnd(): void {
    if (this.#expected !== undefined && this.#received < this.#expected) {
      throw new Error(`the body ended after ${this.#received} of ${this.#expected} bytes`);
    }
  }

  #tooLarge(maxBytes: number): Error {
    this.#leave();
    return failure("ERR_TOO_LARGE", `the object is larger than the ${maxBytes} bytes that are allowed`, this.#purpose);
  }

  async #resume(error: unknown): Promise<void> {
    this.#response.cancel();
    if (this.#signal?.aborted === true) throw this.#signal.reason;
    const reason = networkFailure(error, this.#purpose);
    if (this.#received - this.#lastFailure >= PROGRESS) this.#failures = 0;
    this.#lastFailure = this.#received;
    // Without a length nobody can tell where the object ends.
    if (
      this.#left ||
      this.#expected === undefined ||
      troubleOf(reason).retry !== true ||
      ++this.#failures >= this.#limits.attempts
    ) {
      throw reason;
    }
    await pause(Math.random() * this.#limits.delay * 2 ** this.#failures, this.#signal);
    this.#response = await this.#reopen(this.#received);
  }
}
