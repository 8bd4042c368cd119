/** Work that nobody awaits: kept for `flush`, and given to `waitUntil` where the runtime needs it. */
export class Background {
  readonly #running = new Set<Promise<void>>();
  readonly #waitUntil: ((promise: Promise<unknown>) => void) | undefined;
  readonly #onError: (key: string, error: unknown) => void;

  constructor(
    waitUntil: ((promise: Promise<unknown>) => void) | undefined,
    onError: (key: string, error: unknown) => void,
  ) {
    this.#waitUntil = waitUntil;
    this.#onError = onError;
  }

  run(
    key: string,
    work: Promise<unknown>,
    waitUntil: ((promise: Promise<unknown>) => void) | undefined = this.#waitUntil,
  ): void {
    const settled = work.then(
      () => undefined,
      (error: unknown) => this.#onError(key, error),
    );
    this.#running.add(settled);
    void settled.then(() => this.#running.delete(settled));
    waitUntil?.(settled);
  }

  /** Waits until nothing is left, with what was begun meanwhile. */
  async idle(): Promise<void> {
    while (this.#running.size > 0) await Promise.all(this.#running);
  }
}
