import { type StoreTime, timeOf } from "../../base/clock.js";
import type { Bytes, CallOptions, ObjectHead, ObjectStore, PutOptions, WrittenObject } from "../../types.js";
import type { Reporting } from "../events.js";
import { asBucketCacheError, decide } from "../failure.js";
import type { Settings } from "../settings.js";

/** The second layer: the user's store, with counting, its clock, and errors of one kind. */
export class StoreLayer {
  readonly objects: ObjectStore;
  readonly clock: StoreTime;
  readonly #settings: Settings;
  readonly #reporting: Reporting;
  /** How many limitations of the store this cache has told. */
  #told = 0;

  constructor(settings: Settings, reporting: Reporting) {
    this.objects = settings.store;
    this.clock = timeOf(settings.store);
    this.#settings = settings;
    this.#reporting = reporting;
  }

  /** Returns where something happened, for the details of an error. */
  at(key: string): { key: string; store: string } {
    return { key, store: this.objects.name };
  }

  /** Whether the store makes the metadata of entries itself. */
  get stampsEntries(): boolean {
    return this.objects.stampsEntries === true;
  }

  /** Whether entries that were stamped by the local clock would end at the wrong time. */
  get isClockOff(): boolean {
    return !this.stampsEntries && Math.abs(this.clock.now() - Date.now()) > 1;
  }

  /** Returns a local time in milliseconds as Unix seconds in the store's time, as far as the store has told that. */
  timeOf(localMs: number): number {
    return (localMs + this.clock.now() - Date.now()) / 1000;
  }

  get(key: string, options: CallOptions & Parameters<ObjectStore["get"]>[1]): ReturnType<ObjectStore["get"]> {
    this.#reporting.counters.store.reads++;
    return this.#ask(key, options.signal, () => this.objects.get(key, options));
  }

  head(key: string, signal: AbortSignal | undefined): Promise<ObjectHead | undefined> {
    return this.#ask(key, signal, () => this.objects.head(key, { signal }));
  }

  async #ask<T extends ObjectHead | "not-modified" | undefined>(
    key: string,
    signal: AbortSignal | undefined,
    request: () => Promise<T>,
  ): Promise<T | undefined> {
    try {
      const answer = await request();
      this.tellLimitations();
      if (typeof answer === "object") this.clock.learn(answer.now);
      return answer;
    } catch (error) {
      const failure = this.failure(error, key, signal);
      if (decide("request", failure, this.#settings) === "miss") return undefined;
      throw failure;
    }
  }

  async put(key: string, body: Bytes | Blob | ReadableStream<Bytes>, options: PutOptions): Promise<WrittenObject> {
    const { store: counters } = this.#reporting.counters;
    counters.writes++;
    try {
      const written = await this.objects.put(key, body, options);
      this.tellLimitations();
      if (ArrayBuffer.isView(body)) counters.bytesWritten += body.byteLength;
      return written;
    } catch (error) {
      throw this.failure(error, key, options.signal);
    }
  }

  /** Tells of what the store was found unable to do, each once. To be called after each request. */
  tellLimitations(): void {
    const { limitations = [] } = this.objects;
    while (this.#told < limitations.length) this.#reporting.error(undefined, limitations[this.#told++]);
  }

  /** Counts a failure. Returns what to throw for it: the caller's own reason after an abort, else a `BucketCacheError`. */
  failure(error: unknown, key: string | undefined, signal: AbortSignal | undefined): unknown {
    this.tellLimitations();
    if (signal?.aborted === true) return signal.reason;
    this.#reporting.counters.store.errors++;
    return asBucketCacheError(error, key, this.objects.name);
  }
}
