/** One value in two tabs: each shows where it has read it from. */
import { byId } from "./dom.js";
import { explain } from "./errors.js";
import { formatDuration } from "./format.js";
import { knobs } from "./knobs.js";
import type { Session } from "./session.js";
import { onOtherTab, tellOtherTabs } from "./tabs.js";

const KEY = "notes/shared";

const form = byId("note-form", HTMLFormElement);
const value = byId("note-value", HTMLElement);
const source = byId("note-source", HTMLElement);

export function startNote(session: Session): void {
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    void save(session);
  });
  byId("note-read", HTMLButtonElement).addEventListener("click", () => void read(session));
  onOtherTab(({ key }) => {
    if (key === KEY) void read(session);
  });
  void readIfThere(session);
}

/** Without asking for what is not there: browsers report a 404 as an error. */
async function readIfThere(session: Session): Promise<void> {
  try {
    for await (const { key } of session.cache.list({ prefix: KEY })) if (key === KEY) return await read(session);
    show("There is no note yet.", "", "none");
  } catch (error) {
    show("–", explain(error), "failed");
  }
}

async function save(session: Session): Promise<void> {
  const input = form.elements.namedItem("note") as HTMLInputElement;
  try {
    await session.cache.set(KEY, input.value, { ttl: knobs.ttl });
    tellOtherTabs({ key: KEY, type: "set" });
    input.value = "";
    await read(session);
  } catch (error) {
    show("–", explain(error), "failed");
  }
}

async function read(session: Session): Promise<void> {
  const startedAt = performance.now();
  try {
    const entry = await session.cache.getEntry<string>(KEY);
    const took = formatDuration(performance.now() - startedAt);
    if (entry === undefined) show("There is no note yet.", `the bucket has none, ${took}`, "none");
    else
      show(String(entry.value), `from ${entry.source === "memory" ? "memory" : "the bucket"}, ${took}`, entry.source);
  } catch (error) {
    show("–", explain(error), "failed");
  }
}

function show(text: string, from: string, kind: string): void {
  value.textContent = text;
  source.textContent = from;
  source.dataset["source"] = kind;
}
