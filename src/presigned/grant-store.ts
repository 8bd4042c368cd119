/** A store that works with nothing but the grants that somebody handed over. */
import { readAll } from "../base/body.js";
import type { StoreClock } from "../base/clock.js";
import { essenceOf, OCTET_STREAM } from "../base/media-type.js";
import { parseMetadata } from "../entry/entry.js";
import { gunzipStream } from "../entry/gzip-stream.js";
import type { BucketCacheError } from "../errors.js";
import { Capabilities } from "../s3/capabilities.js";
import { fetchSend } from "../s3/fetch-transport.js";
import { metadataOf } from "../s3/header-names.js";
import { objectClient, type ObjectClient } from "../s3/objects.js";
import { conditionHeaders, type Operation } from "../s3/operations.js";
import { failure } from "../s3/failure.js";
import type { Limits } from "../s3/retry.js";
import type { Bytes, Grant, ObjectStore, PutOptions, SignedRequest, WrittenObject } from "../types.js";

/** A grant is for one PUT, whose length must be known: a stream of unknown length is gathered up to here. */
const MAX_GATHERED_BYTES = 64 << 20;

const NAME = "presigned";

type PutBody = Parameters<ObjectStore["put"]>[1];

export interface GrantStoreOptions {
  fetch: typeof globalThis.fetch | undefined;
  clock: StoreClock;
  limits: Readonly<Limits>;
  limitations: BucketCacheError[];
}

export function grantStore(
  grants: readonly Grant[],
  { fetch: custom, clock, limits, limitations }: GrantStoreOptions,
): ObjectStore {
  const held = new HeldGrants(grants, clock);
  const client = objectClient({
    name: NAME,
    clock,
    limits,
    capabilities: new Capabilities(NAME, limitations),
    send: fetchSend(custom),
    sign: (operation, renew) => held.sign(operation, renew),
    partSize: Infinity,
    upload() {
      throw refused("a grant is for one request");
    },
  });
  return {
    name: NAME,
    get: client.get,
    head: client.head,
    delete: client.delete,
    put: async (key, body, options) => put(client, held.find("write", key), body, options),
    // eslint-disable-next-line require-yield
    async *list() {
      throw refused("a grant is for one entry: there is none to list");
    },
  };
}

/** The grants of a store, of each kind and key the one that ends last. */
class HeldGrants {
  readonly #grants = new Map<string, Grant>();
  readonly #clock: StoreClock;
  /** Unix seconds: the latest time at which one of the grants was signed. */
  readonly #signedAt: number;
  #isClockSettled = false;

  constructor(grants: readonly Grant[], clock: StoreClock) {
    this.#clock = clock;
    this.#signedAt = Math.max(...grants.map(({ url }) => signingTime(url)));
    for (const grant of grants) {
      const id = `${grant.operation} ${grant.key}`;
      if (!((this.#grants.get(id)?.expiresAt ?? 0) > grant.expiresAt)) this.#grants.set(id, grant);
    }
  }

  /** @throws BucketCacheError `ERR_FORBIDDEN` where no grant is for this */
  find(operation: Grant["operation"], key: string): Grant {
    const grant = this.#grants.get(`${operation} ${key}`);
    if (grant !== undefined) return grant;
    throw refused(`there is no grant to ${operation} this key (grants name keys with the cache's prefix)`, key);
  }

  async sign(operation: Operation, renew: boolean): Promise<SignedRequest> {
    const { op, key } = operation;
    // A grant to GET serves a HEAD too: the body is then given up.
    const grant = this.find(op === "put" ? "write" : op === "delete" ? "delete" : "read", key);
    if (renew) {
      // The store calls the grant ended, as this device's clock did: so that clock is right after all.
      if (Date.now() > grant.expiresAt * 1_000) this.#clock.set(Date.now() / 1_000);
      throw refused(`the grant to ${grant.operation} this key has ended: ask for a new one`, key);
    }
    this.#settleClock(grant);
    const conditions = op === "put" || op === "delete" ? conditionHeaders(operation) : {};
    return { ...grant, headers: { ...grant.headers, ...conditions } };
  }

  /**
   * Estimates the store's time, whose `Date` browsers cannot read. A grant lives when it is first used, or is refused:
   * the store's time is then between its signing and its end, and shortly after grants were handed over most likely near
   * the beginning. Later a clock past the end of a grant is no longer a wrong one, so this happens once.
   */
  #settleClock({ expiresAt }: Grant): void {
    if (this.#isClockSettled) return;
    this.#isClockSettled = true;
    const now = this.#clock.now() / 1_000;
    if (now < this.#signedAt || now > expiresAt) this.#clock.set(this.#signedAt);
  }
}

/** Writes the entry that a grant is for; an entry of another codec, type or size is refused before anything is sent. */
async function put(client: ObjectClient, grant: Grant, body: PutBody, options: PutOptions): Promise<WrittenObject> {
  const { key, headers } = grant;
  const granted = parseMetadata(metadataOf(headers));
  checkEntry(grant, granted, options);
  const size = headers["content-length"] === undefined ? undefined : Number(headers["content-length"]);
  const plain = await plainBody(body, isCompressed(options), size ?? MAX_GATHERED_BYTES);
  const actual = plain instanceof Uint8Array ? plain.byteLength : plain.size;
  if (size !== undefined && actual !== size) {
    throw refused(`the grant is for ${size} bytes, and there are ${actual}`, key);
  }
  const { etag } = await client.put(key, plain, options);
  const expiresAt = granted.kind === "entry" ? granted.meta.expiresAt : undefined;
  return { etag, ...(expiresAt !== undefined && { expiresAt }) };
}

/** @throws BucketCacheError `ERR_FORBIDDEN` for an entry of another codec or type than the grant's */
function checkEntry({ key, headers }: Grant, granted: ReturnType<typeof parseMetadata>, options: PutOptions): void {
  const asked = parseMetadata(options.metadata);
  if (asked.kind !== "entry" || granted.kind !== "entry") return;
  const { contentType } = options;
  const type = headers["content-type"] ?? "";
  const isGrantedType = [OCTET_STREAM, essenceOf(type)].includes(essenceOf(contentType));
  if (asked.meta.codec === granted.meta.codec && isGrantedType) return;
  const wanted = `${asked.meta.codec} as ${contentType}`;
  throw refused(`the grant is for ${granted.meta.codec} as ${type}, not for ${wanted}`, key);
}

function isCompressed({ metadata }: PutOptions): boolean {
  const asked = parseMetadata(metadata);
  return asked.kind === "entry" ? asked.meta.compressed : asked.kind === "foreign" && asked.compressed;
}

/** Returns a body whose length is known, not compressed: grants say that theirs is not. */
async function plainBody(body: PutBody, compressed: boolean, maxBytes: number): Promise<Uint8Array | Blob> {
  if (compressed) return readAll(gunzipStream(streamOf(body)), maxBytes);
  return "getReader" in body ? readAll(body, maxBytes) : body;
}

function streamOf(body: PutBody): ReadableStream<Bytes> {
  if ("getReader" in body) return body as ReadableStream<Bytes>;
  return (body instanceof Uint8Array ? new Blob([body as Bytes]) : body).stream();
}

/** Returns the Unix seconds at which a URL was signed; 0 when it does not say. */
function signingTime(url: string): number {
  const stamp = /x-amz-date=(....)(..)(..T..)(..)(..Z)/i.exec(url);
  return stamp === null ? 0 : Date.parse(`${stamp[1]}-${stamp[2]}-${stamp[3]}:${stamp[4]}:${stamp[5]}`) / 1_000;
}

function refused(message: string, key?: string): BucketCacheError {
  return failure("ERR_FORBIDDEN", message, { store: NAME, key });
}
