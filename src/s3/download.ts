import { onAbort } from "../base/abort.js";
import { concat, toBytes } from "../base/bytes.js";
import { failure, networkFailure, type Purpose } from "./refusal.js";
import { pause, type Limits } from "./retry.js";
import type { Incoming } from "./transport.js";
import type { Bytes } from "../types.js";

/** What streams hold in advance. Bytes. */
const READ_AHEAD = 262_144;

/** Objects of more than two of these are read by several requests at once: one alone gets 50 to 100 MB/s from S3. Bytes. */
const RANGE = 8 << 20;

/** Requests at once, beside the first. */
const HELPERS = 3;

/** A connection that brings so many bytes in so many milliseconds, three times what S3 gives one, has no need of others. */
const FAST = 8 << 20;
const LOOK = 50;

/** A body that breaks off is resumed as often as it moves this far, so that a line that dies every byte ends it. */
const PROGRESS = 1 << 20;

const ENOUGH = Symbol("enough");

/** Asks for the bytes from `offset` to `last`, by default the end. */
type Reopen = (offset: number, last?: number) => Promise<Incoming>;

/** The body of an answer, resumed by range where it breaks off. */
export class Download {
  #response: Incoming;
  /** Bytes that are to come in all; undefined when the store did not say. */
  readonly #expected: number | undefined;
  readonly #reopen: Reopen;
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
    reopen: Reopen,
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
    if (expected !== undefined && expected > 2 * RANGE) return this.#inParallel(expected);
    let target: Bytes | undefined;
    const chunks: Uint8Array[] = [];
    await this.#drain((chunk, offset) => {
      if (this.#received > maxBytes) throw this.#tooLarge(maxBytes);
      if (expected === undefined) chunks.push(chunk);
      else if (chunk.byteLength === expected && chunk.buffer.byteLength === expected) target = toBytes(chunk);
      else (target ??= new Uint8Array(expected)).set(chunk, offset);
    });
    if (expected !== undefined) return target ?? new Uint8Array(0);
    return concat(chunks);
  }

  /**
   * The first answer is read from the front and, unless that is fast, ranges from the back, until they meet. So as much
   * comes by ranges as they are faster; and what a range does not bring, for whatever reason, the first answer does.
   */
  async #inParallel(expected: number): Promise<Bytes> {
    const target: Bytes = new Uint8Array(expected);
    const parts = new Set<Download>();
    let back = expected;
    let missing = 0;
    const help = async (): Promise<void> => {
      while (!this.#left && missing === 0 && back - this.#received > 2 * RANGE) {
        const end = back;
        const from = (back -= RANGE);
        const reopen: Reopen = (offset, last = RANGE - 1) => this.#reopen(from + offset, from + last);
        try {
          const part = new Download(await reopen(0), RANGE, reopen, this.#purpose, this.#limits, this.#signal);
          parts.add(part);
          if (this.#left) part.#leave();
          await part.#drain((chunk, offset) => target.set(chunk, from + offset));
          parts.delete(part);
        } catch {
          missing = Math.max(missing, end);
        }
      }
    };
    const fill = (): Promise<void> =>
      this.#drain(
        (chunk, offset) => target.set(chunk, offset),
        () => Math.max(back, missing),
      );
    let helpers: Promise<void>[] = [];
    let timer: unknown;
    const look = (before: number): void => {
      timer = setTimeout(() => {
        if (this.#received - before >= FAST) look(this.#received);
        else helpers = Array.from({ length: HELPERS }, help);
      }, LOOK);
    };
    look(0);
    try {
      await fill().finally(() => clearTimeout(timer as number));
      await Promise.all(helpers);
      if (this.#received < missing) {
        this.#response = await this.#reopen(this.#received);
        await fill();
      }
      return target;
    } catch (error) {
      this.#leave();
      for (const part of parts) part.#leave();
      throw error;
    }
  }

  /** Hands over the bytes to the end, or until so many were received. */
  async #drain(sink: (chunk: Uint8Array, offset: number) => void, enough = () => Infinity): Promise<void> {
    const take = (chunk: Uint8Array) => {
      const offset = this.#received;
      this.#count(chunk);
      sink(chunk, offset);
      if (this.#received >= enough()) throw ENOUGH;
    };
    for (;;) {
      try {
        await this.#response.drain(take);
        return this.#checkEnd();
      } catch (error) {
        if (error === ENOUGH) return this.#response.cancel();
        await this.#resume(error);
      }
    }
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
      reason.retry.retryable !== true ||
      ++this.#failures >= this.#limits.attempts
    ) {
      throw reason;
    }
    await pause(Math.random() * this.#limits.delay * 2 ** this.#failures, this.#signal);
    this.#response = await this.#reopen(this.#received);
  }
}
