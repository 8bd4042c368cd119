/** Opens an entry: its facts and its content, the whole of small ones and the beginning of large ones. */
import { byId, el } from "./dom.js";
import { type Content, showBytes, showValue } from "./content.js";
import type { Shown } from "./shown.js";
import { explain } from "./errors.js";
import { listFacts } from "./facts.js";
import { formatBytes, formatDuration } from "./format.js";
import { readStart } from "./read-start.js";
import type { Session } from "./session.js";

/** Stored bytes up to which an entry is read as a value, and kept in memory. */
const SMALL = 4_000_000;
const START = 64 * 1024;

const dialog = byId("viewer", HTMLDialogElement);
const facts = byId("viewer-facts", HTMLElement);
const place = byId("viewer-content", HTMLElement);
let content: Content | undefined;

dialog.addEventListener("close", () => {
  content?.release();
  content = undefined;
  place.replaceChildren();
});

export async function openViewer(session: Session, shown: Shown): Promise<void> {
  const { key } = shown;
  byId("viewer-title", HTMLElement).textContent = key;
  facts.replaceChildren();
  place.replaceChildren(el("p", { class: "dim" }, "Reading …"));
  dialog.showModal();
  const startedAt = performance.now();
  try {
    const isMedia = /^(image|audio|video)\//.test(shown.contentType);
    const found = isMedia || shown.size <= SMALL ? await readValue(session, key) : await readBeginning(session, shown);
    const took = formatDuration(performance.now() - startedAt);
    // Closed meanwhile, or opened for another.
    if (!dialog.open || byId("viewer-title", HTMLElement).textContent !== key) return found?.content.release();
    if (found === undefined) {
      place.replaceChildren(el("p", {}, "It is no longer there: deleted, or expired."));
      return;
    }
    content = found.content;
    place.replaceChildren(content.element);
    listFacts(facts, [["Read from", `${found.source}, ${took}`], ...found.facts, ["Stored", storedText(shown)]]);
  } catch (error) {
    place.replaceChildren(el("p", { class: "alert", role: "alert" }, explain(error)));
  }
}

interface Found {
  content: Content;
  source: string;
  facts: [string, string][];
}

async function readValue(session: Session, key: string): Promise<Found | undefined> {
  const entry = await session.cache.getEntry(key);
  if (entry === undefined) return undefined;
  return {
    content: showValue(entry.value, entry.contentType),
    source: entry.source === "memory" ? "memory" : "the bucket",
    facts: [
      ["Written", entry.createdAt?.toLocaleString() ?? "by another program"],
      ["Expires", entry.expiresAt?.toLocaleString() ?? "never"],
      ["ETag", entry.etag],
    ],
  };
}

async function readBeginning(session: Session, { key, contentType }: Shown): Promise<Found | undefined> {
  const stream = await session.cache.getStream(key);
  if (stream === undefined) return undefined;
  const { bytes, isWhole } = await readStart(stream, START);
  return {
    content: showBytes(bytes, contentType, isWhole),
    source: "the bucket, its beginning as a stream",
    facts: [],
  };
}

function storedText({ size, contentType, isCompressed }: Shown): string {
  return `${formatBytes(size)}${isCompressed ? ", gzip" : ""}, ${contentType}`;
}
