import { isBrowser } from "../../base/runtime.js";
import type { CacheState } from "../state.js";

/**
 * Tells the other tabs of this origin which keys changed, and drops from memory the keys that they tell. Only keys
 * travel: the store stays the truth. A tab without memory has nothing to drop, but much to tell. Two caches on different
 * buckets that use one key make each other ask the store once more, no worse.
 *
 * @returns A function that leaves the channel.
 */
export function joinTabs({ concurrency, memory }: Pick<CacheState, "concurrency" | "memory">): () => void {
  if (!isBrowser() || typeof BroadcastChannel !== "function") return () => undefined;
  const channel = new BroadcastChannel("bucketcache");
  channel.onmessage = ({ data }: MessageEvent<unknown>) => {
    if (typeof data !== "string") return;
    concurrency.supersede(data);
    memory.delete(data);
  };
  concurrency.announce = (key) => channel.postMessage(key);
  return () => {
    concurrency.announce = undefined;
    channel.close();
  };
}
