/**
 * A grant in the fragment of a link: `#grant=` and the grant's JSON, deflated, in the base64 of URLs. Fragments are not
 * sent to servers; what is shorter makes a coarser QR code.
 */
import type { Grant } from "bucketcache";
import { readStart } from "./read-start.js";

/** No grant is longer, and a link from a stranger must not fill the memory. */
const MAX_BYTES = 16_384;

export async function toFragment(grant: Grant): Promise<string> {
  const json = new Blob([JSON.stringify(grant)]).stream();
  const bytes = new Uint8Array(
    await new Response(json.pipeThrough(new CompressionStream("deflate-raw"))).arrayBuffer(),
  );
  const base64 = btoa(String.fromCharCode(...bytes));
  return `#grant=${base64.replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "")}`;
}

/** @throws Error that says what is wrong with the link */
export async function fromFragment(fragment: string): Promise<Grant> {
  const text = /^#grant=([\w-]+)$/.exec(fragment)?.[1];
  if (text === undefined) throw new Error("This link holds no grant: its end, from # on, is missing or cut.");
  let grant: Partial<Grant>;
  try {
    const binary = atob(text.replaceAll("-", "+").replaceAll("_", "/"));
    const bytes = Uint8Array.from(binary, (letter) => letter.charCodeAt(0));
    const inflated = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate-raw"));
    const { bytes: json, isWhole } = await readStart(inflated, MAX_BYTES);
    if (!isWhole) throw new RangeError("too long");
    grant = JSON.parse(new TextDecoder().decode(json)) as Partial<Grant>;
  } catch {
    throw new Error("The grant in this link is damaged: copy the whole link again.");
  }
  const { key, operation, method, url, headers, expiresAt } = grant;
  const isGrant =
    typeof key === "string" &&
    operation === "read" &&
    method === "GET" &&
    typeof url === "string" &&
    typeof expiresAt === "number" &&
    typeof headers === "object";
  if (!isGrant) throw new Error("What this link holds is no grant to read an entry.");
  return grant as Grant;
}
