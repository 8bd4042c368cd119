/** Hands one entry to another page, a phone, or curl. */
import { announce, byId } from "./dom.js";
import type { Shown } from "./shown.js";
import { explain } from "./errors.js";
import { formatCountdown } from "./format.js";
import { toFragment } from "./fragment.js";
import { drawQr } from "./qr.js";
import { plainLink, serverNow } from "./server.js";
import type { Session } from "./session.js";

const dialog = byId("handoff", HTMLDialogElement);
const link = byId("handoff-link", HTMLInputElement);
const plain = byId("handoff-url", HTMLInputElement);
const open = byId("handoff-open", HTMLAnchorElement);
const code = byId("handoff-qr", HTMLElement);
const life = byId("handoff-life", HTMLElement);
const hint = byId("handoff-hint", HTMLElement);

let expiresAt = 0;
let timer = 0;

export async function openHandoff(session: Session, { key }: Shown): Promise<void> {
  byId("handoff-key", HTMLElement).textContent = key;
  link.value = plain.value = "";
  open.removeAttribute("href");
  code.replaceChildren();
  hint.textContent = "Signing …";
  dialog.showModal();
  try {
    const grant = await session.cache.presign(key);
    const href = new URL(`/shared.html${await toFragment(grant)}`, location.href).href;
    expiresAt = grant.expiresAt;
    link.value = href;
    open.href = href;
    const drawing = drawQr(href, `QR code of the link to ${key}`);
    if (drawing !== undefined) code.replaceChildren(drawing);
    hint.textContent = isHereOnly(grant.url)
      ? "This playground listens on this machine only. For a phone, start it with --host and a bucket that the phone reaches."
      : "Point a phone's camera at the code.";
    clearInterval(timer);
    timer = window.setInterval(showLife, 1_000);
    showLife();
    // Other programs know nothing of our gzip: what they are given is undone, and named, on the way.
    plain.value = await plainLink(key);
  } catch (error) {
    hint.textContent = explain(error);
  }
}

dialog.addEventListener("close", () => clearInterval(timer));

byId("handoff-copy", HTMLButtonElement).addEventListener("click", async () => {
  link.select();
  try {
    await navigator.clipboard.writeText(link.value);
    announce("The link is copied.");
    hint.textContent = "The link is copied.";
  } catch {
    // Not a secure page, or not allowed: the link is selected, ready to be copied by hand.
    hint.textContent = "The link is selected: copy it.";
  }
});

for (const input of [link, plain]) input.addEventListener("focus", () => input.select());

function showLife(): void {
  life.textContent = formatCountdown(expiresAt - serverNow());
}

function isHereOnly(url: string): boolean {
  const local = (host: string): boolean => /^(localhost|127\.|\[::1\])/.test(host);
  return local(location.hostname) || local(new URL(url).hostname);
}
