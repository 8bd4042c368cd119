/**
 * Multipart uploads without memory of our own. What was authorised when an upload began is kept in a record beside the
 * entries, under a key that no client is ever granted: neither a restart nor another instance of the handler, nor the
 * end of the session that signs, loses it, and no client can change it.
 */
import { readAll, toBase64, utf8 } from "../bytes.js";
import type { ObjectStore } from "../types.js";

export interface UploadRecord {
  key: string;
  /** Bytes of the whole, where they were declared. */
  size?: number;
  /** Seconds. */
  ttl?: number;
  /** Unix seconds: the end of the entry, counted from the beginning of the upload. */
  expiresAt?: number;
  contentType: string;
  /** The metadata that tells the finished object from any other. */
  entry: string;
}

const MAX_RECORD = 16_384;

/** Records never change, so that an instance reads each but once. */
const REMEMBERED = 1_000;

/** Of a nonce, in the base64 of URLs. */
const NONCE_LENGTH = 22;

/** What a client knows an upload by: the nonce of the object to be, and the store's own id. */
export function clientId(nonce: string, uploadId: string): string {
  return nonce.slice(0, NONCE_LENGTH).replaceAll("+", "-").replaceAll("/", "_") + uploadId;
}

/** The nonce is believed only as far as it goes: it tells whether an object is the one that this upload became. */
export function parseClientId(id: string): { nonce: string; uploadId: string } {
  const nonce = `${id.slice(0, NONCE_LENGTH).replaceAll("-", "+").replaceAll("_", "/")}==`;
  return { nonce, uploadId: id.slice(NONCE_LENGTH) };
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

  /** Undefined when no such upload was begun here for this key, or when it is over. */
  async find(id: string, key: string): Promise<UploadRecord | undefined> {
    const path = await this.#pathOf(id);
    let record = this.#known.get(path);
    if (record === undefined) {
      const found = await this.#store.get(path);
      if (typeof found !== "object") return undefined;
      record = JSON.parse(new TextDecoder().decode(await readAll(found.body, MAX_RECORD))) as UploadRecord;
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
    const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", utf8(id)));
    return `${this.#folder}${toBase64(digest).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "")}`;
  }

  #remember(path: string, record: UploadRecord): void {
    if (this.#known.size >= REMEMBERED) this.#known.delete(this.#known.keys().next().value as string);
    this.#known.set(path, record);
  }
}
