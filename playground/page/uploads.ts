/** The second section: whatever is stored gets a line with its progress, its ratio, and a way to stop it. */
import { announce, button, byId, el } from "./dom.js";
import { explain } from "./errors.js";
import { formatBytes, formatDuration, formatFactor } from "./format.js";
import { knobs } from "./knobs.js";
import type { Session } from "./session.js";
import { canRecord, fromFile, makeTable, record, safeName, type Device, type Source } from "./sources.js";
import { tellOtherTabs } from "./tabs.js";

const FOLDER = "uploads/";

const list = byId("uploads", HTMLElement);

export function startUploads(session: Session): void {
  const file = byId("file", HTMLInputElement);
  file.addEventListener("change", () => {
    for (const each of file.files ?? []) void upload(session, fromFile(each));
    file.value = "";
  });
  byId("generate", HTMLButtonElement).addEventListener("click", () => void upload(session, makeTable()));
  for (const device of ["sound", "screen"] as const) offerRecording(session, device);
  byId("text-form", HTMLFormElement).addEventListener("submit", (event) => {
    event.preventDefault();
    const fields = new FormData(event.target as HTMLFormElement);
    void storeText(session, String(fields.get("name")), String(fields.get("text")));
  });
}

function offerRecording(session: Session, device: Device): void {
  const start = byId(`record-${device}`, HTMLButtonElement);
  start.hidden = !canRecord(device);
  start.addEventListener("click", async () => {
    try {
      await upload(session, await record(device));
    } catch (error) {
      newLine(`A recording of the ${device}`).fail(error);
    }
  });
}

async function storeText(session: Session, name: string, text: string): Promise<void> {
  const line = newLine(safeName(name));
  await store(session, line, FOLDER + safeName(name), new Blob([text]).size, () =>
    session.cache.set(FOLDER + safeName(name), text, { ttl: knobs.ttl, compress: knobs.compress }),
  );
}

async function upload(session: Session, { name, contentType, body, size, finish }: Source): Promise<void> {
  const controller = new AbortController();
  const line = newLine(name, () => controller.abort(new DOMException("Stopped.", "AbortError")), finish);
  const key = FOLDER + name;
  const { compress } = knobs;
  let read = 0;
  const counter = new TransformStream<Uint8Array, Uint8Array>({
    transform(chunk, out) {
      read += chunk.byteLength;
      line.progress({ read, total: size });
      out.enqueue(chunk);
    },
  });
  // A file that is sent as it is needs nobody to count: what is sent is what was read.
  const isPlainFile = body instanceof Blob && compress === false;
  const source = isPlainFile ? body : (body instanceof Blob ? body.stream() : body).pipeThrough(counter);
  await store(
    session,
    line,
    key,
    () => (isPlainFile ? (size ?? 0) : read),
    () =>
      session.cache.set(key, source, {
        contentType,
        compress,
        ttl: knobs.ttl,
        signal: controller.signal,
        onProgress: ({ loaded, total }) => line.progress({ sent: loaded, ...(isPlainFile && { read: loaded, total }) }),
      }),
  );
}

async function store(
  session: Session,
  line: Line,
  key: string,
  size: number | (() => number),
  set: () => Promise<void>,
): Promise<void> {
  const startedAt = performance.now();
  let stored = 0;
  const stop = session.events.on((event) => {
    if (event.type === "set" && event.key === key) stored = event.size;
  });
  try {
    await set();
    line.done(typeof size === "number" ? size : size(), stored, performance.now() - startedAt);
    tellOtherTabs({ key, type: "set" });
  } catch (error) {
    line.fail(error);
  } finally {
    stop();
  }
}

type Line = ReturnType<typeof newLine>;

function newLine(name: string, abort?: () => void, finish?: () => void) {
  const bar = el("progress", { max: 1, "aria-label": `Progress of ${name}` });
  const text = el("span", { class: "details", "data-testid": "upload-text" }, "starting");
  const actions = el("div", { class: "actions small" });
  if (finish) actions.append(button("Finish", finish, { "data-testid": "upload-finish" }));
  if (abort) actions.append(button("Abort", abort, { "data-testid": "upload-abort", "aria-label": `Abort ${name}` }));
  const line = el("li", { "data-testid": "upload", "data-state": "running" }, el("b", {}, name), bar, text, actions);
  list.prepend(line);
  while (list.children.length > 8) list.lastElementChild?.remove();
  let read = 0;
  let sent = 0;

  const end = (state: "done" | "failed", message: string): void => {
    line.dataset["state"] = state;
    text.textContent = message;
    actions.remove();
    if (state === "done") bar.value = 1;
    else bar.remove();
    announce(`${name}: ${message}`);
  };
  return {
    progress(now: { read?: number; sent?: number; total?: number | undefined }) {
      if (line.dataset["state"] !== "running") return;
      read = now.read ?? read;
      sent = now.sent ?? sent;
      if (now.total !== undefined) bar.value = Math.min(0.99, read / Math.max(1, now.total));
      text.textContent = `${formatBytes(read)} read, ${formatBytes(sent)} sent`;
    },
    done(size: number, stored: number, ms: number) {
      const ratio = stored > 0 && size > stored * 1.01 ? `, gzip ${formatFactor(size / stored)} smaller` : "";
      end("done", `${formatBytes(size)} stored as ${formatBytes(stored)}${ratio}, in ${formatDuration(ms)}`);
    },
    fail(error: unknown) {
      const isAbort = error instanceof DOMException && error.name === "AbortError";
      end("failed", isAbort ? "aborted: nothing of it is in the bucket" : explain(error));
    },
  };
}
