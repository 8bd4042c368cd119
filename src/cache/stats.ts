import type { CacheStats } from "../types.js";
import type { MemoryLayer } from "./memory/memory.js";

/** The counters of `cache.stats()`. */
export type Counters = Omit<CacheStats, "memory"> & { memory: Omit<CacheStats["memory"], "entries" | "bytes"> };

export function newCounters(): Counters {
  return {
    memory: { hits: 0, misses: 0, evictions: 0 },
    store: { hits: 0, misses: 0, reads: 0, writes: 0, deletes: 0, bytesRead: 0, bytesWritten: 0, errors: 0 },
    calls: 0,
  };
}

/** Returns the counters with the size of memory, as a copy. */
export function statsOf({ memory, store, calls }: Counters, { lru }: MemoryLayer): CacheStats {
  return {
    memory: { ...memory, entries: lru?.entries ?? 0, bytes: lru?.bytes ?? 0 },
    store: { ...store },
    calls,
  };
}
