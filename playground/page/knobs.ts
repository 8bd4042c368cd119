/** Settings of the visitor: how entries are stored, and what goes wrong. */
import { byId } from "./dom.js";
import { Emitter } from "./emitter.js";

export type Trouble = "none" | "slow" | "flaky" | "down";

const form = byId("knobs", HTMLFormElement);
const changes = new Emitter<string>();
const realNow = Date.now.bind(Date);
const realFetch = window.fetch.bind(window);

function chosen(name: string): string {
  return String(new FormData(form).get(name) ?? "");
}

export const knobs = {
  /** As `bucketcache` takes it: "10s", "1h". */
  get ttl(): string {
    return chosen("ttl");
  },
  get compress(): boolean | "auto" {
    const value = chosen("gzip");
    return value === "auto" ? "auto" : value === "always";
  },
  get trouble(): Trouble {
    return chosen("trouble") as Trouble;
  },
  /** Tells the name of what has changed. */
  onChange: (listener: (name: string) => void) => changes.on(listener),
};

form.addEventListener("change", ({ target }) => {
  const { name } = target as HTMLInputElement;
  if (name === "skew") skewClock();
  if (name === "offline") cutNetwork();
  showTrouble();
  changes.emit(name);
});
form.addEventListener("submit", (event) => event.preventDefault());

/** Makes the clock of the page wrong by the chosen hours from now on. */
function skewClock(): void {
  const hours = Number(chosen("skew"));
  Date.now = hours === 0 ? realNow : () => realNow() + hours * 3_600_000;
}

/** Every request of the page fails as without a network: those of the library, and its look whether there is one. */
function cutNetwork(): void {
  window.fetch = isOffline() ? () => Promise.reject(new TypeError("Failed to fetch")) : realFetch;
}

function isOffline(): boolean {
  return chosen("offline") === "on";
}

function showTrouble(): void {
  const isTrouble = isOffline() || knobs.trouble !== "none" || chosen("skew") !== "0";
  document.documentElement.toggleAttribute("data-trouble", isTrouble);
}
