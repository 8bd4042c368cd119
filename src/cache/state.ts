import { Concurrency } from "./concurrency/write-order.js";
import { Background } from "./concurrency/background.js";
import { Reporting } from "./events.js";
import { MemoryLayer } from "./memory/memory.js";
import type { Settings } from "./settings.js";
import { StoreLayer } from "./store/store.js";

/** The parts of one cache. A function that needs few of them takes a `Pick` of it. */
export interface CacheState {
  readonly settings: Settings;
  /** The first layer. */
  readonly memory: MemoryLayer;
  /** The second layer. */
  readonly store: StoreLayer;
  /** The operations that are in progress, and their order. */
  readonly concurrency: Concurrency;
  /** Events and counters. */
  readonly reporting: Reporting;
}

export function newState(settings: Settings): CacheState {
  const reporting = new Reporting(settings.prefix);
  const store = new StoreLayer(settings, reporting);
  return {
    settings,
    memory: new MemoryLayer(settings, store.clock, reporting),
    store,
    concurrency: new Concurrency(new Background(settings.waitUntil, (key, error) => reporting.error(key, error))),
    reporting,
  };
}
