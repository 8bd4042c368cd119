/** The cache of this page, and everything that is told of it. */
import { createCache, type Cache, type CacheEvents, type ObjectStore, type Wrapped } from "bucketcache";
import { presignedStore } from "bucketcache/presigned";
import { compute } from "./compute.js";
import { Emitter } from "./emitter.js";
import { knobs } from "./knobs.js";
import { observedFetch } from "./network.js";
import type { Call, QuestionName } from "./questions.js";
import type { Info } from "./server.js";

export type CacheEvent = { [E in keyof CacheEvents]: { type: E } & CacheEvents[E] }[keyof CacheEvents];

type Ask = Wrapped<(argument: unknown) => Promise<unknown>>;

/** How long a function ran, here. */
export interface Run extends Call {
  startedAt: number;
  endedAt: number | undefined;
}

/** Names of the entries: the server uses the same, so that both find each other's results. */
const NAMES: Record<QuestionName, string> = {
  neighbours: "neighbours",
  countryReport: "country-report",
  roundTrip: "round-trip",
  densestRegions: "densest-regions",
};

const EVENTS = ["hit", "miss", "set", "delete", "expire", "evict", "error"] as const;

export class Session {
  readonly info: Info;
  readonly events = new Emitter<CacheEvent>();
  readonly runs = new Emitter<Run>();
  #store!: ObjectStore;
  #cache!: Cache;
  #questions!: Record<QuestionName, Ask>;

  constructor(info: Info) {
    this.info = info;
    this.#open();
    knobs.onChange((name) => {
      if (name === "gzip") this.#wrap();
    });
  }

  get cache(): Cache {
    return this.#cache;
  }

  /** For what a cache does not tell: metadata without the value. */
  get store(): ObjectStore {
    return this.#store;
  }

  question(name: QuestionName): Ask {
    return this.#questions[name];
  }

  /** As after a reload: nothing is in memory. */
  async forgetMemory(): Promise<void> {
    const closed = this.#cache.close();
    this.#open();
    await closed;
  }

  #open(): void {
    this.#store = presignedStore({ url: new URL("/cache", location.href).href, fetch: observedFetch });
    this.#cache = createCache({ store: this.#store, prefix: this.info.prefix });
    for (const type of EVENTS) {
      this.#cache.on(type, (event) => this.events.emit({ type, ...event } as CacheEvent));
    }
    this.#wrap();
  }

  #wrap(): void {
    const wrap = (name: QuestionName): Ask =>
      this.#cache.wrap((argument: unknown) => this.#run({ name, args: [argument] }), {
        name: NAMES[name],
        ttl: () => knobs.ttl,
        compress: knobs.compress,
        replace: true,
      });
    this.#questions = {
      neighbours: wrap("neighbours"),
      countryReport: wrap("countryReport"),
      roundTrip: wrap("roundTrip"),
      densestRegions: wrap("densestRegions"),
    };
  }

  async #run(call: Call): Promise<unknown> {
    const run: Run = { ...call, startedAt: performance.now(), endedAt: undefined };
    this.runs.emit(run);
    try {
      return await compute(call);
    } finally {
      run.endedAt = performance.now();
      this.runs.emit(run);
    }
  }
}
