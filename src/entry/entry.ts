import { toBase64 } from "../base/bytes.js";

/** Members of the `entry` metadata (RFC 9651 dictionary, `v=1`). */
export interface EntryFields {
  /** When the value came to be, in Unix seconds. */
  created: number;
  /** The name of the codec that wrote the body. */
  codec: string;
  /** Base64 of 128 random bits, new with each write: tells a write of this client from another's. */
  nonce: string;
  /** Base64 SHA-256 of function name and canonical arguments; see `keyHash`. */
  key?: string;
  /** Seconds for which the entry may be served past its end. */
  stale?: number;
  /** Base64 signature. */
  sig?: string;
}

/** Contents of the user metadata of an entry. */
export interface EntryMetadata extends EntryFields {
  /** End of the entry in Unix seconds; undefined for never. */
  expiresAt: number | undefined;
  /** Whether the body is gzip. */
  compressed: boolean;
}

/** User metadata as it was read: an entry's, another program's, or not to be trusted. */
export type ParsedMetadata =
  | { kind: "entry"; meta: EntryMetadata }
  | { kind: "foreign"; expiresAt: number | undefined; compressed: boolean }
  | { kind: "damaged"; reason: string };

/** Names of the user metadata that an entry may have; only the first is always there. */
export const METADATA_NAMES = ["entry", "expires_at", "compressed"] as const;

// S3 allows 2 KB of user metadata in all.
const MAX_ENTRY_LENGTH = 2_048;
// RFC 9651 allows twelve digits before the point.
const MAX_DECIMAL = 999_999_999_999;
// The last second that a Date can represent.
const MAX_SECONDS = 8.64e12;

/** Reads user metadata, whose names are in lower case and without `x-amz-meta-`. Never throws. */
export function parseMetadata(metadata: Record<string, string>): ParsedMetadata {
  const { entry, expires_at: end } = metadata as { entry?: string; expires_at?: string };
  // Python writes up to 17 digits; no writer needs more.
  if (end !== undefined && !/^-?\d{1,15}(?:\.\d{1,20})?$/.test(end))
    return damaged("expires_at is not a decimal number");
  const expiresAt = end === undefined ? undefined : Number(end);
  const compressed = metadata["compressed"] === "true";
  if (entry === undefined) return { kind: "foreign", expiresAt, compressed };

  const members = parseDictionary(entry);
  if (members === undefined)
    return damaged("entry is not an RFC 9651 dictionary of numbers, tokens and byte sequences");
  const version = members.get("v");
  if (version !== 1) return damaged(`entry has format ${typeof version === "number" ? version : "?"}, not 1`);
  const created = members.get("created");
  const codec = members.get("codec");
  const nonce = members.get("nonce");
  const stale = members.get("stale");
  if (!isNumber(created) || !isToken(codec) || !isBytes(nonce))
    return damaged("entry has no valid created, codec or nonce");
  const meta: EntryMetadata = { created, codec: codec.token, nonce: nonce.base64, expiresAt, compressed };
  if (stale !== undefined) {
    if (!isNumber(stale)) return damaged("entry has no valid stale");
    meta.stale = stale;
  }
  for (const name of ["key", "sig"] as const) {
    const value = members.get(name);
    if (value === undefined) continue;
    if (!isBytes(value)) return damaged(`entry has no valid ${name}`);
    meta[name] = value.base64;
  }
  return { kind: "entry", meta };
}

function damaged(reason: string): ParsedMetadata {
  return { kind: "damaged", reason };
}

/** Writes user metadata, which stays below 512 bytes. The inverse of {@link parseMetadata}, to the millisecond. */
export function formatMetadata(meta: EntryMetadata): Record<string, string> {
  const { key, stale, sig, expiresAt } = meta;
  let entry = `v=1, created=${decimal(meta.created)}, codec=${meta.codec}, nonce=:${meta.nonce}:`;
  if (stale !== undefined) entry += `, stale=${decimal(stale)}`;
  if (key !== undefined) entry += `, key=:${key}:`;
  if (sig !== undefined) entry += `, sig=:${sig}:`;
  const metadata: Record<string, string> = { entry };
  if (expiresAt !== undefined && expiresAt <= MAX_SECONDS) metadata["expires_at"] = String(toMilliseconds(expiresAt));
  if (meta.compressed) metadata["compressed"] = "true";
  return metadata;
}

/** Returns base64 of 128 random bits. */
export function newNonce(): string {
  return toBase64(crypto.getRandomValues(new Uint8Array(16)));
}

/**
 * Returns the `Cache-Control` of an entry: `override` in place of `no-store`, and the marker by which a browser recognizes
 * an entry without any CORS configuration.
 *
 * @throws TypeError for text that cannot stand in a header.
 */
export function cacheControl(override = "no-store"): string {
  const directives = headerText(override, "cacheControl")
    .split(",")
    .map((directive) => directive.trim());
  return [
    ...directives.filter((directive) => directive !== "" && !/^bucketcache\b/i.test(directive)),
    "bucketcache=1",
  ].join(", ");
}

/**
 * Returns a caller's text for a header.
 *
 * @throws TypeError for text that cannot stand in a header.
 */
export function headerText(text: string, option: string): string {
  if (!/^[\t -~]*$/.test(text)) throw new TypeError(`${option} must be visible ASCII`);
  return text;
}

/** Tells whether a `Cache-Control` has the marker of an entry. */
export function hasMarker(cacheControl: string | null | undefined): boolean {
  return /(?:^|,)[\t ]*bucketcache=1[\t ]*(?:,|$)/i.test(cacheControl ?? "");
}

type Item = number | { token: string } | { base64: string };

const isNumber = (value: Item | undefined): value is number => typeof value === "number";
const isToken = (value: Item | undefined): value is { token: string } => typeof value === "object" && "token" in value;
const isBytes = (value: Item | undefined): value is { base64: string } =>
  typeof value === "object" && "base64" in value;

/**
 * Reads an RFC 9651 dictionary of integers, decimals, tokens and byte sequences. Returns undefined for any other text,
 * also for other types and parameters. As the RFC has it, the last of equal names counts.
 */
function parseDictionary(text: string): Map<string, Item> | undefined {
  if (text.length > MAX_ENTRY_LENGTH) return undefined;
  const members = new Map<string, Item>();
  // The form is: name = integer or decimal | token | byte sequence, then a comma or the end. The time is linear for any text.
  const member =
    /([a-z*][a-z0-9_.*-]*)=(?:(-?\d{1,15}|-?\d{1,12}\.\d{1,3})|([A-Za-z*][\w!#$%&'*+.^`|~:/-]*)|:((?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?):)(?:[ \t]*,[ \t]*(?!$)| *$)/y;
  member.lastIndex = /^ */.exec(text)![0].length;
  while (member.lastIndex < text.length) {
    const match = member.exec(text);
    if (match === null) return undefined;
    const [, name, number, token, base64] = match;
    members.set(name!, number !== undefined ? Number(number) : token !== undefined ? { token } : { base64: base64! });
  }
  return members;
}

/** Writes an RFC 9651 decimal. */
function decimal(seconds: number): string {
  const text = String(toMilliseconds(Math.min(seconds, MAX_DECIMAL)));
  return text.includes(".") ? text : `${text}.0`;
}

function toMilliseconds(seconds: number): number {
  return Math.round(seconds * 1_000) / 1_000;
}
