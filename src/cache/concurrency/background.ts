import type { CallOptions } from "../../types.js";

/** Work that no caller awaits: kept for `flush`, and given to `waitUntil` where the runtime needs it. */
export class Background {
  readonly #running = new Set<Promise<void>>();
  readonly #waitUntil: CallOptions["waitUntil"];
  readonly #onError: (key: string, error: unknown) => void;

  constructor(waitUntil: CallOptions["waitUntil"], onError: (key: string, error: unknown) => void) {
    this.#waitUntil = waitUntil;
    this.#onError = onError;
  }

  /** Takes over work that has begun. Its failure becomes an `error` event. */
  run(key: string, work: Promise<unknown>, call: CallOptions): void {
    const settled = work.then(
      () => undefined,
      (error: unknown) => this.#onError(key, error),
    );
    this.#running.add(settled);
    void settled.then(() => this.#running.delete(settled));
    this.waitUntilOf(call)?.(settled);
  }

  waitUntilOf(call: CallOptions): CallOptions["waitUntil"] {
    return call.waitUntil ?? this.#waitUntil;
  }

  /** Waits until nothing is left, including work that begins meanwhile. */
  async idle(): Promise<void> {
    while (this.#running.size > 0) await Promise.all(this.#running);
  }
}
