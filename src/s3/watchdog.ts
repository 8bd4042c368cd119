/** Time-outs and aborts of one request. */
import { onAbort } from "../base/abort.js";

/** The reason of a request that ended because no byte came for too long. */
export class Silence extends Error {}

/**
 * Calls back after a silence. One timer serves many bytes, since each byte only moves the deadline. The timer never keeps
 * the process alive.
 */
export class Watchdog {
  readonly #onSilence: () => void;
  #timer: unknown;
  #limitMs = 0;
  /** Local milliseconds at which the silence will have lasted too long. */
  #deadline = 0;
  /** Local milliseconds at which the timer fires. */
  #firesAt = 0;

  constructor(onSilence: () => void) {
    this.#onSilence = onSilence;
  }

  /** Begins to wait, from now on and with this limit. */
  arm(limitMs: number): void {
    this.#limitMs = limitMs;
    this.touch();
    if (this.#timer === undefined) this.#wait(limitMs);
    else if (this.#firesAt > this.#deadline) {
      clearTimeout(this.#timer as number);
      this.#wait(limitMs);
    }
  }

  /** Notes that bytes have moved. */
  touch(): void {
    this.#deadline = Date.now() + this.#limitMs;
  }

  stop(): void {
    clearTimeout(this.#timer as number);
    this.#timer = undefined;
  }

  #wait(delayMs: number): void {
    this.#firesAt = Date.now() + delayMs;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      const leftMs = this.#deadline - Date.now();
      if (leftMs > 0) this.#wait(leftMs);
      else this.#onSilence();
    }, delayMs);
    (this.#timer as { unref?: () => void }).unref?.();
  }
}

/** The end of a request before its time: by its watchdog, or by the caller's signal. */
export interface Interruption {
  readonly watchdog: Watchdog;
  /** Ends the observation. Returns the reason of the interruption where there was one, else the error that it was given. */
  settle(error?: unknown): unknown;
}

/** Returns a signal that aborts when the caller's does, or after a silence. */
export function interruptible(signal: AbortSignal | undefined): Interruption & { signal: AbortSignal } {
  const controller = new AbortController();
  const watchdog = new Watchdog(() => controller.abort(new Silence("no bytes for too long")));
  const leave = onAbort(signal, () => controller.abort(signal?.reason));
  return {
    signal: controller.signal,
    watchdog,
    settle(error) {
      watchdog.stop();
      leave();
      // Transports wrap the reason of an abort in errors of their own.
      return controller.signal.aborted ? controller.signal.reason : error;
    },
  };
}
