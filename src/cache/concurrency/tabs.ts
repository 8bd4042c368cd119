import type { Layers } from "../layers.js";
import { isBrowser } from "../../base/runtime.js";

/**
 * Tells the other tabs of this origin which keys changed, and forgets what they tell. Only keys travel: the store stays
 * the truth. A tab without memory has nothing to forget, but much to tell. Two caches on different buckets that use one
 * key make each other ask the store once more, no worse.
 *
 * @returns leaves the channel
 */
export function joinTabs(layers: Layers): () => void {
  if (!isBrowser() || typeof BroadcastChannel !== "function") return () => undefined;
  const channel = new BroadcastChannel("bucketcache");
  channel.onmessage = ({ data }: MessageEvent<unknown>) => {
    if (typeof data !== "string") return;
    layers.forget(data);
  };
  layers.announce = (key) => channel.postMessage(key);
  return () => {
    layers.announce = undefined;
    channel.close();
  };
}
