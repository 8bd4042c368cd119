/**
 * Multipart uploads, kept without memory of the handler's own. The terms on which an upload was authorised lie in a record
 * beside the entries, under a key that no client is ever granted: neither a restart nor another instance of the handler,
 * nor the end of the session that signs, loses it, and no client can change it.
 */
import { readAll } from "../base/body.js";
import { utf8 } from "../base/bytes.js";
import { sha256Base64 } from "../base/sha256.js";
import type { ObjectStore } from "../types.js";

export interface UploadRecord {
  key: string;
  /** Unix seconds: the end of the entry, counted from the beginning of the upload. */
  expiresAt?: number;
  /** The `entry` metadata that tells the finished object from any other. */
  entry: string;
  /** Proof by which the client that began the upload is known again; see {@link proofOf}. */
  starter?: string;
}

/** The whole object as the request that began its upload declared it. */
export interface Declared {
  /** Bytes. */
  size?: number | undefined;
  /** Seconds. */
  ttl?: number | undefined;
  contentType?: string | undefined;
}

const MAX_RECORD_BYTES = 16_384;

/** Records never change, so that an instance reads each but once. */
const MAX_RECORDS_IN_MEMORY = 1_000;

/** Length of a nonce in the base64 of URLs. */
const NONCE_LENGTH = 22;

/**
 * Makes the id by which a client knows an upload: the nonce of the object to be, the declaration, and the store's own id.
 * So `authorize` can be asked before anything is looked up.
 */
export function clientId(nonce: string, uploadId: string, { size, ttl, contentType }: Declared): string {
  const declared = btoa(JSON.stringify([size ?? null, ttl ?? null, contentType]));
  return `${toUrlSafe(nonce)}${toUrlSafe(declared)}.${uploadId}`;
}

/**
 * Reads an id, which anybody can make up. The record is found by the whole of it, so what it declares is true where there
 * is a record; and the nonce tells whether an object is the one that this upload became.
 */
export function parseClientId(id: string): { nonce: string; uploadId: string; declared: Declared } {
  const dot = id.indexOf(".", NONCE_LENGTH);
  const nonce = `${fromUrlSafe(id.slice(0, NONCE_LENGTH))}==`;
  return { nonce, uploadId: id.slice(dot + 1), declared: dot < 0 ? {} : parseDeclared(id.slice(NONCE_LENGTH, dot)) };
}

function parseDeclared(text: string): Declared {
  try {
    const [size, ttl, contentType] = JSON.parse(atob(fromUrlSafe(text))) as unknown[];
    return {
      ...(typeof size === "number" && { size }),
      ...(typeof ttl === "number" && { ttl }),
      ...(typeof contentType === "string" && { contentType }),
    };
  } catch {
    return {};
  }
}

/**
 * Returns the proof that tells the client that began an upload from others, even once `authorize` no longer knows it: a
 * digest of the id and of the credentials that it sent. The id itself is kept nowhere. Undefined for a client that sends
 * no credentials.
 */
export async function proofOf({ headers }: Request, id: string): Promise<string | undefined> {
  const credentials = [headers.get("authorization"), headers.get("cookie")];
  if (credentials.every((value) => value === null)) return undefined;
  return digestOf(JSON.stringify([id, ...credentials]));
}

export class Uploads {
  readonly #store: ObjectStore;
  readonly #folder: string;
  readonly #known = new Map<string, UploadRecord>();

  constructor(store: ObjectStore, prefix: string) {
    this.#store = store;
    this.#folder = `${prefix}.bucketcache/uploads/`;
  }

  async save(id: string, record: UploadRecord): Promise<void> {
    const path = await this.#pathOf(id);
    await this.#store.put(path, utf8(JSON.stringify(record)), { contentType: "application/json", metadata: {} });
    this.#remember(path, record);
  }

  /** Returns undefined when no such upload was begun here for this key, or when it has ended. */
  async find(id: string, key: string): Promise<UploadRecord | undefined> {
    const path = await this.#pathOf(id);
    let record = this.#known.get(path);
    if (record === undefined) {
      const found = await this.#store.get(path);
      if (typeof found !== "object") return undefined;
      record = JSON.parse(new TextDecoder().decode(await readAll(found.body, MAX_RECORD_BYTES))) as UploadRecord;
      this.#remember(path, record);
    }
    return record.key === key ? record : undefined;
  }

  async forget(id: string): Promise<void> {
    const path = await this.#pathOf(id);
    this.#known.delete(path);
    await this.#store.delete(path);
  }

  // Ids of stores may be of any length and hold any character.
  async #pathOf(id: string): Promise<string> {
    return this.#folder + toUrlSafe(await digestOf(id));
  }

  #remember(path: string, record: UploadRecord): void {
    if (this.#known.size >= MAX_RECORDS_IN_MEMORY) this.#known.delete(this.#known.keys().next().value as string);
    this.#known.set(path, record);
  }
}

/** @throws TypeError where the platform has no SHA-256, which no server lacks */
async function digestOf(text: string): Promise<string> {
  const digest = await sha256Base64(text);
  if (digest === undefined) throw new TypeError("the handler needs crypto.subtle: serve it over https");
  return digest;
}

function toUrlSafe(base64: string): string {
  return base64.replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

function fromUrlSafe(text: string): string {
  return text.replaceAll("-", "+").replaceAll("_", "/");
}
