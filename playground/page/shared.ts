/** The second page: it has a grant for one entry, and no server. */
import { createCache, type Cache, type Grant } from "bucketcache";
import { presignedStore } from "bucketcache/presigned";
import { type Content, showValue } from "./content.js";
import { byId } from "./dom.js";
import { showFailure } from "./errors.js";
import { listFacts } from "./facts.js";
import { formatBytes, formatCountdown, formatDuration } from "./format.js";
import { fromFragment } from "./fragment.js";
import { startTheme } from "./theme.js";

const failure = byId("failure", HTMLElement);
const title = byId("shared-title", HTMLElement);
const facts = byId("shared-facts", HTMLElement);
const place = byId("shared-content", HTMLElement);
let content: Content | undefined;

async function start(): Promise<void> {
  let grant: Grant;
  try {
    grant = await fromFragment(location.hash);
  } catch (error) {
    title.textContent = "Nothing to read";
    showFailure(failure, error);
    return;
  }
  const cache = createCache({ store: presignedStore({ grants: [grant] }), prefix: "" });
  title.textContent = grant.key;
  byId("again", HTMLButtonElement).onclick = () => void read(cache, grant);
  byId("save", HTMLButtonElement).onclick = () => void save(cache, grant);
  await read(cache, grant);
}

async function read(cache: Cache, grant: Grant): Promise<void> {
  showFailure(failure, undefined);
  const startedAt = performance.now();
  try {
    const entry = await cache.getEntry(grant.key);
    const took = formatDuration(performance.now() - startedAt);
    content?.release();
    content = undefined;
    if (entry === undefined) {
      place.textContent = "It is no longer there: deleted, or expired.";
      facts.replaceChildren();
      return;
    }
    content = showValue(entry.value, entry.contentType);
    place.replaceChildren(content.element);
    listFacts(facts, [
      ["Read from", `${entry.source === "memory" ? "memory" : "the bucket"}, ${took}`],
      ["Stored", `${formatBytes(entry.size)}, ${entry.contentType}`],
      ["Expires", entry.expiresAt?.toLocaleString() ?? "never"],
      ["This grant", `ends in ${formatCountdown(grant.expiresAt - Date.now() / 1_000)}`],
    ]);
  } catch (error) {
    showFailure(failure, error);
  }
}

/** The content as a file, which is never whole in memory where the browser keeps large Blobs on disk. */
async function save(cache: Cache, grant: Grant): Promise<void> {
  showFailure(failure, undefined);
  try {
    const response = await cache.getResponse(grant.key);
    if (response === undefined) throw new Error("It is no longer there: deleted, or expired.");
    const url = URL.createObjectURL(await response.blob());
    const anchor = document.createElement("a");
    anchor.href = url;
    anchor.download = grant.key.split("/").at(-1) ?? "entry";
    anchor.click();
    setTimeout(() => URL.revokeObjectURL(url), 60_000);
  } catch (error) {
    showFailure(failure, error);
  }
}

startTheme();
// Another link pasted over this one changes only the fragment.
window.addEventListener("hashchange", () => void start());
void start();
