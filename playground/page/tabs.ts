/**
 * Messages between tabs of the playground, so that each shows changes of the others. The library makes the
 * memory of other tabs forget by itself; these messages only say when to look again.
 */
import { Emitter } from "./emitter.js";

export interface Change {
  key: string;
  type: "set" | "delete";
}

const channel = new BroadcastChannel("bucketcache-playground");
const changes = new Emitter<Change>();

channel.addEventListener("message", ({ data }: MessageEvent<Change>) => changes.emit(data));

/** Listens to the other tabs. */
export const onOtherTab = (listener: (change: Change) => void) => changes.on(listener);

export function tellOtherTabs(change: Change): void {
  channel.postMessage(change);
}
