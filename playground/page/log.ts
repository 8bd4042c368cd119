/** The event log: what the cache tells, and what the network saw. */
import { byId, el } from "./dom.js";
import { explain } from "./errors.js";
import { formatBytes, formatDuration, formatTime } from "./format.js";
import { onExchange } from "./network.js";
import { serverNow } from "./server.js";
import type { CacheEvent, Session } from "./session.js";
import { onOtherTab } from "./tabs.js";

const KEPT = 300;

const list = byId("log", HTMLElement);
const withRequests = byId("log-requests", HTMLInputElement);

export function startLog(session: Session): void {
  session.events.on((event) => add(event.type, event.key ?? "", detailsOf(event)));
  onExchange(({ to, method, subjects, startedAt, endedAt, status }) => {
    if (endedAt === undefined) return;
    const what = to === "handler" ? `sign ${tally(subjects.map(({ operation }) => operation))}` : method;
    add("request", `${what} · ${status ?? "failed"} · ${formatDuration(endedAt - startedAt)}`, "");
  });
  onOtherTab(({ key, type }) => add("tab", key, `${type} in another tab: forgotten here`));
  byId("log-clear", HTMLButtonElement).addEventListener("click", () => list.replaceChildren());
  withRequests.addEventListener("change", hideRequests);
  hideRequests();
}

function hideRequests(): void {
  list.classList.toggle("no-requests", !withRequests.checked);
}

/** "head × 12, get" */
function tally(words: readonly string[]): string {
  const counts = new Map<string, number>();
  for (const word of words) counts.set(word, (counts.get(word) ?? 0) + 1);
  return Array.from(counts, ([word, count]) => (count === 1 ? word : `${word} × ${count}`)).join(", ");
}

function detailsOf(event: CacheEvent): string {
  switch (event.type) {
    case "hit":
      return `${event.source}, ${formatDuration(event.duration)}`;
    case "miss":
      return formatDuration(event.duration);
    case "set":
      return `${formatBytes(event.size)}, ${formatDuration(event.duration)}`;
    case "evict":
      return formatBytes(event.size);
    case "error":
      return explain(event.error);
    default:
      return "";
  }
}

let waiting: [at: number, kind: string, key: string, details: string][] = [];

/** Listeners run inside of the calls that they hear of: what takes time is done afterwards. */
function add(kind: string, key: string, details: string): void {
  if (waiting.length === 0) setTimeout(flush);
  waiting.push([serverNow(), kind, key, details]);
}

function flush(): void {
  const isAtTop = list.scrollTop < 8;
  list.prepend(
    ...waiting
      .reverse()
      .slice(0, KEPT)
      .map(([at, kind, key, details]) =>
        el(
          "li",
          { "data-testid": "log-entry", "data-kind": kind },
          el("time", {}, formatTime(at * 1_000)),
          el("b", { class: `kind ${kind}` }, kind),
          el("span", { class: "what" }, key),
          el("span", { class: "details" }, details),
        ),
      ),
  );
  waiting = [];
  while (list.children.length > KEPT) list.lastElementChild?.remove();
  if (isAtTop) list.scrollTop = 0;
}
