/** The entries of a bucket by requests that a presign handler signs. */
import { untilAborted } from "../base/abort.js";
import type { StoreClock } from "../base/clock.js";
import { toSeconds } from "../base/duration.js";
import { OCTET_STREAM } from "../base/media-type.js";
import { codecOfType } from "../entry/decode.js";
import type { BucketCacheError } from "../errors.js";
import { Capabilities } from "../s3/capabilities.js";
import { eachListed } from "../s3/each-listed.js";
import { fetchSend } from "../s3/fetch-transport.js";
import { MIN_PART_BYTES } from "../s3/limits.js";
import { objectClient, type ObjectClient } from "../s3/objects.js";
import { conditionOf, plainRead, type MultipartUpload, type Operation, type PutOperation } from "../s3/operations.js";
import { failure } from "../s3/failure.js";
import { withRetries, type Limits } from "../s3/retry.js";
import type { CallOptions, Grant, ListedObject, ObjectStore, PresignOptions, SignedRequest } from "../types.js";
import { HandlerClient } from "./handler-client.js";
import type { ListResult, PresignRequest } from "./protocol.js";
import { ReadGrants } from "./read-grants.js";
import { requestedEntry, writeMembers } from "./requested-entry.js";

const NAME = "presigned";

/** Deletes under way at once, and in one batch. */
const DELETES_AT_ONCE = 128;

/** Clocks of whole seconds may make a grant look this much longer than it is. */
const EXPIRY_TOLERANCE_SECONDS = 2;

export interface HandlerStoreOptions {
  headers?: Record<string, string> | (() => Record<string, string> | Promise<Record<string, string>>);
  fetch?: typeof globalThis.fetch;
  concurrency?: number;
  clock: StoreClock;
  limits: Readonly<Limits>;
  limitations: BucketCacheError[];
}

/** A store without the members that are known before it is loaded. */
export type HandlerStore = Required<Omit<ObjectStore, "close" | "now" | "signer" | "stampsEntries" | "limitations">>;

/** @param url Absolute. */
export function handlerStore(url: string, options: HandlerStoreOptions): HandlerStore {
  const { clock, limits, limitations } = options;
  const send = fetchSend(options.fetch);
  const handler = new HandlerClient(NAME, url, options.headers, send, { clock, limits });
  const reads = new ReadGrants(handler, clock);
  const client = objectClient({
    name: NAME,
    clock,
    limits,
    capabilities: new Capabilities(NAME, limitations),
    send,
    partSize: MIN_PART_BYTES,
    partsWorthCutting: 1,
    concurrency: options.concurrency,
    sign: (operation, renew) => signOperation(handler, reads, operation, renew),
    upload: (operation) => uploadBy(handler, operation),
  });
  return {
    name: NAME,
    get: client.get,
    head: client.head,
    delete: client.delete,
    // The handler makes the metadata, so it is told what to write instead.
    async put(key, body, { cacheControl, metadata, ...rest }) {
      const asked = { metadata, ...(cacheControl !== undefined && { cacheControl }) };
      const requested = requestedEntry(asked, clock.now() / 1_000, (message) => unsupported(message, key));
      return client.put(key, body, { ...rest, metadata: {}, requested });
    },
    async deleteMany(keys, callOptions) {
      for (let start = 0; start < keys.length; start += DELETES_AT_ONCE) {
        const batch = keys.slice(start, start + DELETES_AT_ONCE);
        const results = await Promise.allSettled(batch.map((key) => client.delete(key, callOptions)));
        for (const result of results) if (result.status === "rejected") throw result.reason;
      }
    },
    list: (prefix, callOptions) => list(handler, prefix, callOptions),
    presign: (key, presignOptions) => presign({ handler, client, clock }, key, presignOptions),
    prepare(keys) {
      // A refusal is left to the reads that follow, which meet it again.
      for (const key of keys) reads.get("get", key).catch(() => {});
    },
  };
}

function signOperation(
  handler: HandlerClient,
  reads: ReadGrants,
  operation: Operation,
  renew: boolean,
): Promise<SignedRequest> {
  const { key } = operation;
  switch (operation.op) {
    case "put": {
      const { size = 0 } = operation;
      return handler.sign({ op: "put", key, ...writeMembers(operation), size, ...conditionOf(operation) });
    }
    case "delete":
      return handler.sign({ op: "delete", key, ...conditionOf(operation) });
    default:
      return reads.get(operation.op, key, renew);
  }
}

function uploadBy(handler: HandlerClient, operation: PutOperation): MultipartUpload {
  const { key, size } = operation;
  return {
    async create(signal) {
      const members = { ...writeMembers(operation), ...(size !== undefined && { size }) };
      const { uploadId } = await control<{ uploadId: string }>(handler, { op: "create", key, ...members }, signal);
      return uploadId;
    },
    signPart: (uploadId, partNumber, partSize) =>
      handler.sign({ op: "part", key, uploadId, partNumber, size: partSize }),
    complete: (uploadId, parts, condition, signal) =>
      control(handler, { op: "complete", key, uploadId, parts: parts.length, ...condition }, signal),
    abort: (uploadId) => control(handler, { op: "abort", key, uploadId }),
  };
}

/** Asks for work of the handler itself, again where that may help. An abort ends it at once. */
function control<T>(handler: HandlerClient, request: PresignRequest, signal?: AbortSignal): Promise<T> {
  return withRetries(() => handler.control<T>(request, signal), handler.limits, signal);
}

function list(
  handler: HandlerClient,
  prefix: string,
  { signal }: CallOptions = {},
): AsyncGenerator<ListedObject, void, undefined> {
  return eachListed(NAME, async (cursor) => {
    signal?.throwIfAborted();
    const request: PresignRequest = { op: "list", key: prefix, ...(cursor !== undefined && { cursor }) };
    const page: ListResult = await untilAborted(control<ListResult>(handler, request, signal), signal);
    const objects = page.keys.map((object) => ({ ...object, lastModified: new Date(object.lastModified * 1_000) }));
    return { objects, cursor: page.cursor };
  });
}

interface Presigner {
  handler: HandlerClient;
  client: ObjectClient;
  clock: StoreClock;
}

async function presign(presigner: Presigner, key: string, options: PresignOptions): Promise<Grant> {
  const { operation = "read", expiresIn, signal } = options;
  const isTyped = operation === "read" && Boolean(options.contentType);
  if (options.filename !== undefined || options.cacheControl !== undefined || isTyped) {
    throw unsupported("a presign handler signs no file name, Cache-Control or type of an answer: leave it out", key);
  }
  const signing = signGrant(presigner, operation, key, options);
  const { method, url, headers, expiresAt } = await untilAborted(signing, signal);
  const lifeSeconds = expiresAt - presigner.clock.now() / 1_000;
  if (expiresIn !== undefined && lifeSeconds > toSeconds(expiresIn, "expiresIn") + EXPIRY_TOLERANCE_SECONDS) {
    throw unsupported("the presign handler decides how long a grant lives, and that is longer than expiresIn", key);
  }
  return { key, operation, method, url, headers, expiresAt };
}

async function signGrant(
  { handler, client }: Presigner,
  operation: Grant["operation"],
  key: string,
  options: PresignOptions,
): Promise<SignedRequest> {
  if (operation === "read") return handler.sign(plainRead(key, await client.head(key, options)));
  if (operation === "delete") return handler.sign({ op: "delete", key });
  const { contentType = OCTET_STREAM, size, ttl } = options;
  if (size === undefined) throw new TypeError("a grant to write needs the size in bytes");
  const life = ttl === undefined || ttl === Infinity ? {} : { ttl: toSeconds(ttl, "ttl") };
  return handler.sign({ op: "put", key, size, contentType, codec: codecOfType(contentType), ...life });
}

function unsupported(message: string, key: string): BucketCacheError {
  return failure("ERR_UNSUPPORTED", message, { store: NAME, key });
}
