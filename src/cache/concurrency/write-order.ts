import { untilAborted } from "../../base/abort.js";

/**
 * Writing in order (wire format, section 5), within this process. An operation that began before a `set` or `delete`
 * of its key is superseded by it: what it read or computed may be returned, but not kept. And the writes of one key
 * follow each other, so that memory and the store end with the same one.
 */
export class Order {
  readonly #running = new Map<string, Set<Token>>();
  readonly #queues = new Map<string, Promise<unknown>>();

  /**
   * Marks the beginning of an operation whose outcome a newer write must be able to void. What `writes` brings a value
   * of its own, so that the end of an earlier write does not void it.
   */
  begin(key: string, writes = false): Token {
    const token: Token = { key, writes, superseded: false };
    const tokens = this.#running.get(key);
    if (tokens === undefined) this.#running.set(key, new Set([token]));
    else tokens.add(token);
    return token;
  }

  end(token: Token): void {
    const tokens = this.#running.get(token.key);
    tokens?.delete(token);
    if (tokens?.size === 0) this.#running.delete(token.key);
  }

  /** A newer value of this key came, or it went. */
  supersede(key: string, except?: Token): void {
    const tokens = this.#running.get(key);
    if (tokens === undefined) return;
    for (const token of tokens) if (token !== except) token.superseded = true;
  }

  /** A write has ended: what began to read before may have seen the value that it replaced. */
  supersedeReaders(key: string, except?: Token): void {
    for (const token of this.#running.get(key) ?? []) if (!token.writes && token !== except) token.superseded = true;
  }

  /** A newer value of every key with the prefix came, or they went. */
  supersedeAll(prefix: string): void {
    for (const key of this.#running.keys()) if (key.startsWith(prefix)) this.supersede(key);
  }

  /** Runs a write of the key after those that were asked for before it. */
  enqueue<T>(key: string, write: () => Promise<T>): Promise<T> {
    const before = this.#queues.get(key);
    const own = before === undefined ? write() : before.then(write, write);
    this.#queues.set(key, own);
    const end = (): void => {
      if (this.#queues.get(key) === own) this.#queues.delete(key);
    };
    own.then(end, end);
    return own;
  }

  /** The writes of the key that are under way: who reads the store waits for them, and so sees what was written. */
  pending(key: string): Promise<unknown> | undefined {
    return this.#queues.get(key)?.catch(() => undefined);
  }

  /** When they are over, or the signal aborts. */
  settled(key: string, signal: AbortSignal | undefined): Promise<unknown> | undefined {
    const pending = this.pending(key);
    return pending && untilAborted(pending, signal);
  }

  /** Whether a write of the key is under way, which will settle what memory holds. */
  isPending(key: string): boolean {
    return this.#queues.has(key);
  }

  /** As `pending`, for every key with the prefix. */
  async pendingBelow(prefix: string): Promise<void> {
    const queues = [...this.#queues].filter(([key]) => key.startsWith(prefix));
    await Promise.allSettled(queues.map(([, queue]) => queue));
  }
}

export interface Token {
  readonly key: string;
  readonly writes: boolean;
  superseded: boolean;
}
