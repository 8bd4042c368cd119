/** The counters of this page's cache. */
import { byId, el } from "./dom.js";
import { formatBytes } from "./format.js";
import { onExchange } from "./network.js";
import type { Session } from "./session.js";
import { onOtherTab } from "./tabs.js";

const list = byId("stats", HTMLElement);

export function startStats(session: Session): void {
  let isDue = false;
  const later = (): void => {
    if (isDue) return;
    isDue = true;
    setTimeout(() => {
      isDue = false;
      draw(session);
    }, 60);
  };
  draw(session);
  session.events.on(later);
  session.runs.on(later);
  onExchange(later);
  onOtherTab(later);
  byId("forget", HTMLButtonElement).addEventListener("click", later);
}

function draw(session: Session): void {
  const { memory, store, calls } = session.cache.stats();
  const rows: [string, string, string][] = [
    ["memory-entries", "In memory", `${memory.entries} · ${formatBytes(memory.bytes)}`],
    ["memory-hits", "Hits in memory", String(memory.hits)],
    ["store-hits", "Hits in the bucket", String(store.hits)],
    ["store-misses", "Misses", String(store.misses)],
    ["calls", "Functions run", String(calls)],
    ["reads", "Reads of the bucket", `${store.reads} · ${formatBytes(store.bytesRead)}`],
    ["writes", "Writes", `${store.writes} · ${formatBytes(store.bytesWritten)}`],
    ["errors", "Errors", String(store.errors)],
  ];
  list.replaceChildren(
    ...rows.flatMap(([id, name, value]) => [el("dt", {}, name), el("dd", { "data-testid": `stat-${id}` }, value)]),
  );
}
