/**
 * Multipart uploads without memory of our own. What was authorised when an upload began is kept in a record beside the
 * entries, under a key that no client is ever granted: neither a restart nor another instance of the handler, nor the
 * end of the session that signs, loses it, and no client can change it.
 */
import { readAll } from "../base/body.js";
import { toBase64, utf8 } from "../base/bytes.js";
import type { ObjectStore } from "../types.js";

export interface UploadRecord {
  key: string;
  /** Unix seconds: the end of the entry, counted from the beginning of the upload. */
  expiresAt?: number;
  /** The metadata that tells the finished object from any other. */
  entry: string;
  /** By what the one who began it is known again; see {@link proofOf}. */
  starter?: string;
}

/** What a beginning said of the whole. */
export interface Declared {
  /** Bytes. */
  size?: number | undefined;
  /** Seconds. */
  ttl?: number | undefined;
  contentType?: string | undefined;
}

const MAX_RECORD = 16_384;

/** Records never change, so that an instance reads each but once. */
const REMEMBERED = 1_000;

/** Of a nonce, in the base64 of URLs. */
const NONCE_LENGTH = 22;

/**
 * What a client knows an upload by: the nonce of the object to be, what was declared, and the store's own id. So
 * `authorize` can be asked before anything is looked up.
 */
export function clientId(nonce: string, uploadId: string, { size, ttl, contentType }: Declared): string {
  return `${urlSafe(nonce)}${urlSafe(btoa(JSON.stringify([size ?? null, ttl ?? null, contentType])))}.${uploadId}`;
}

/**
 * Anybody can make up an id. The record is found by the whole of it, so what it declares is true where there is a record;
 * and the nonce tells whether an object is the one that this upload became.
 */
export function parseClientId(id: string): { nonce: string; uploadId: string; declared: Declared } {
  const dot = id.indexOf(".", NONCE_LENGTH);
  const nonce = `${id.slice(0, NONCE_LENGTH).replaceAll("-", "+").replaceAll("_", "/")}==`;
  return { nonce, uploadId: id.slice(dot + 1), declared: dot < 0 ? {} : parseDeclared(id.slice(NONCE_LENGTH, dot)) };
}

function parseDeclared(text: string): Declared {
  try {
    const [size, ttl, contentType] = JSON.parse(atob(text.replaceAll("-", "+").replaceAll("_", "/"))) as unknown[];
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
 * What tells the client that began an upload from others, even once `authorize` no longer knows it: the credentials that
 * it sent. They are kept as a digest with the id, which is not kept. Undefined for who sends none.
 */
export async function proofOf({ headers }: Request, id: string): Promise<string | undefined> {
  const credentials = [headers.get("authorization"), headers.get("cookie")];
  if (credentials.every((value) => value === null)) return undefined;
  return toBase64(await sha256(JSON.stringify([id, ...credentials])));
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
    return `${this.#folder}${urlSafe(toBase64(await sha256(id)))}`;
  }

  #remember(path: string, record: UploadRecord): void {
    if (this.#known.size >= REMEMBERED) this.#known.delete(this.#known.keys().next().value as string);
    this.#known.set(path, record);
  }
}

function urlSafe(base64: string): string {
  return base64.replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

async function sha256(text: string): Promise<Uint8Array> {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", utf8(text)));
}
