/** The third section: what is in the bucket, with what is left of its life. */
import type { ListedObject } from "bucketcache";
import { announce, button, byId, el } from "./dom.js";
import { explain } from "./errors.js";
import { formatBytes, formatCountdown } from "./format.js";
import { openHandoff } from "./handoff.js";
import { serverNow } from "./server.js";
import type { Session } from "./session.js";
import { onOtherTab, tellOtherTabs } from "./tabs.js";
import { openViewer } from "./viewer.js";
import type { Shown } from "./shown.js";

const SHOWN = 100;

const list = byId("entries", HTMLElement);
const note = byId("entries-note", HTMLElement);

export function startEntries(session: Session): void {
  let timer = 0;
  const soon = (): void => {
    clearTimeout(timer);
    timer = window.setTimeout(() => void show(session), 300);
  };
  session.events.on(({ type }) => {
    if (type === "set" || type === "delete") soon();
  });
  onOtherTab(soon);
  byId("reload", HTMLButtonElement).addEventListener("click", () => void show(session));
  byId("clear", HTMLButtonElement).addEventListener("click", () => void clear(session));
  setInterval(countDown, 1_000);
  // Entries that the server or a job has written appear when the visitor comes back to this tab.
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden) soon();
  });
  void show(session);
}

let turn = 0;

async function show(session: Session): Promise<void> {
  const own = ++turn;
  try {
    const listed: ListedObject[] = [];
    let isMore = false;
    for await (const object of session.cache.list()) {
      if (listed.length === SHOWN) {
        isMore = true;
        break;
      }
      listed.push(object);
    }
    // Asked for in one tick: one request to the handler for all of them.
    const found = await Promise.all(listed.map((object) => lookAt(session, object)));
    if (own !== turn) return;
    note.classList.remove("failed");
    const entries = found.filter((entry) => entry !== undefined);
    entries.sort((a, b) => b.lastModified.getTime() - a.lastModified.getTime());
    replaceRows(entries.map((entry) => row(session, entry)));
    const total = formatBytes(entries.reduce((sum, { size }) => sum + size, 0));
    note.textContent =
      entries.length === 0 ? "There is none yet." : `${isMore ? "The first " : ""}${entries.length}, ${total} in all.`;
    countDown();
  } catch (error) {
    if (own === turn) complain(error);
  }
}

function complain(error: unknown): void {
  note.textContent = explain(error);
  note.classList.add("failed");
  announce(note.textContent);
}

async function lookAt(session: Session, object: ListedObject): Promise<Shown | undefined> {
  const head = await session.store.head(session.info.prefix + object.key);
  if (head === undefined) return undefined;
  const { expires_at: expiresAt, compressed } = head.metadata;
  return {
    ...object,
    contentType: head.contentType,
    expiresAt: expiresAt === undefined ? undefined : Number(expiresAt),
    isCompressed: compressed === "true",
  };
}

/** Keeps the focus where it was, when its entry is still there. */
function replaceRows(rows: HTMLElement[]): void {
  const focused = document.activeElement as HTMLElement | null;
  const key = focused?.closest<HTMLElement>("[data-key]")?.dataset["key"];
  const label = focused?.getAttribute("aria-label");
  const isInside = list.contains(focused);
  list.replaceChildren(...rows);
  if (!isInside) return;
  const same = rows.find((each) => each.dataset["key"] === key);
  (
    same?.querySelector<HTMLElement>(`[aria-label="${CSS.escape(label ?? "")}"]`) ?? byId("reload", HTMLElement)
  ).focus();
}

function row(session: Session, entry: Shown): HTMLElement {
  const { key, size, isCompressed, contentType, expiresAt, lastModified } = entry;
  const type = contentType.split(";")[0] ?? "";
  return el(
    "li",
    {
      "data-testid": "entry",
      "data-key": key,
      "data-expires": expiresAt,
      "data-written": lastModified.getTime() / 1_000,
    },
    el("span", { class: "key" }, ...breakable(key)),
    el("span", { class: "details" }, `${formatBytes(size)}${isCompressed ? " gzip" : ""} · ${type}`),
    el(
      "span",
      { class: "life" },
      el("progress", { max: 1, value: 1, "aria-hidden": "true" }),
      el("span", { "data-testid": "ttl-left", class: "left" }),
    ),
    el(
      "span",
      { class: "actions small" },
      button("Open", () => void openViewer(session, entry), {
        "aria-label": `Open ${key}`,
        "data-testid": "entry-open",
      }),
      button("Hand off", () => void openHandoff(session, entry), {
        "aria-label": `Hand off ${key}`,
        "data-testid": "entry-handoff",
      }),
      button("Delete", () => void remove(session, key), {
        "aria-label": `Delete ${key}`,
        "data-testid": "entry-delete",
        class: "danger",
      }),
    ),
  );
}

/** Long keys break after their slashes. */
function breakable(key: string): (Node | string)[] {
  return key.split(/(?<=\/)/).flatMap((part) => [part, el("wbr")]);
}

function countDown(): void {
  const now = serverNow();
  for (const line of list.children as HTMLCollectionOf<HTMLElement>) {
    const { expires, written } = line.dataset;
    const left = line.querySelector(".left");
    const bar = line.querySelector("progress");
    if (left === null || bar === null) continue;
    if (expires === undefined) {
      left.textContent = "for ever";
      continue;
    }
    const rest = Number(expires) - now;
    line.classList.toggle("expired", rest <= 0);
    left.textContent = rest > 0 ? formatCountdown(rest) : "expired: deleted when next read";
    bar.value = Math.max(0, Math.min(1, rest / (Number(expires) - Number(written))));
  }
}

async function remove(session: Session, key: string): Promise<void> {
  try {
    await session.cache.delete(key);
    tellOtherTabs({ key, type: "delete" });
    announce(`${key} is deleted.`);
  } catch (error) {
    complain(error);
  }
}

async function clear(session: Session): Promise<void> {
  if (!confirm(`Delete everything below ${session.info.prefix} in the bucket?`)) return;
  try {
    await session.cache.clear({ all: true });
    tellOtherTabs({ key: "", type: "delete" });
    announce("All entries are deleted.");
    await show(session);
  } catch (error) {
    complain(error);
  }
}
