/** The entries of a bucket by requests that a presign handler signs. */
import { untilAborted } from "../base/abort.js";
import type { StoreClock } from "../base/clock.js";
import { codecOfType } from "../entry/decode.js";
import { toSeconds } from "../base/duration.js";
import { cacheControl, parseMetadata } from "../entry/entry.js";
import type { SignedRequest } from "../types.js";
import { conditionOf, plainRead, type PutOperation, type RequestedEntry } from "../s3/operations.js";
import type { ListResult, PresignRequest, PutRequest } from "./protocol.js";
import { failure } from "../s3/refusal.js";
import { objectClient } from "../s3/objects.js";
import { LIMITS, withRetries } from "../s3/retry.js";
import { fetchSend } from "../s3/fetch-transport.js";
import type { Grant, ListedObject, ObjectStore, PresignOptions, PutOptions } from "../types.js";
import { handlerClient } from "./handler-client.js";

const NAME = "presigned";

/** Of an upload: what S3 takes at least. Bytes. */
const PART_SIZE = 5 << 20;

/** Read grants that are kept for the next time. */
const MAX_GRANTS = 10_000;

/** A grant is not used so shortly before its end. Milliseconds. */
const MARGIN = 10_000;

/** Deletes under way at once, and in one batch. */
const DELETES = 128;

/** A store without the members that are known before it is loaded. */
export type HandlerStore = Required<Omit<ObjectStore, "close" | "now" | "signer" | "stampsEntries">>;

/** @param url Absolute. */
export function handlerStore(
  url: string,
  options: {
    headers?: Record<string, string> | (() => Record<string, string> | Promise<Record<string, string>>);
    fetch?: typeof globalThis.fetch;
    concurrency?: number;
  },
  clock: StoreClock,
): HandlerStore {
  const send = fetchSend(options.fetch);
  const handler = handlerClient(NAME, url, options.headers, send, clock);
  const reads = new Map<string, { grant: Promise<SignedRequest>; until: number }>();

  /** The same grant for all reads of a key until shortly before it ends. */
  function signRead(op: "get" | "head", key: string, renew = false): Promise<SignedRequest> {
    const id = `${op} ${key}`;
    const known = reads.get(id);
    if (known !== undefined && !renew && known.until > clock.now()) return known.grant;
    const grant = handler.sign({ op, key });
    const read = { grant, until: Infinity };
    reads.delete(id);
    reads.set(id, read);
    if (reads.size > MAX_GRANTS) reads.delete(reads.keys().next().value as string);
    grant.then(
      ({ expiresAt }) => {
        const life = expiresAt * 1_000 - clock.now();
        read.until = expiresAt * 1_000 - Math.min(MARGIN, life / 5);
      },
      () => reads.get(id) === read && reads.delete(id),
    );
    return grant;
  }

  /** Aborts at once, and tries again what may succeed then. */
  const control = <T>(request: PresignRequest, signal?: AbortSignal): Promise<T> =>
    withRetries(() => handler.control<T>(request, signal), LIMITS, signal);

  const client = objectClient({
    name: NAME,
    clock,
    send,
    partSize: PART_SIZE,
    partsWorthCutting: 1,
    concurrency: options.concurrency,
    sign(operation, renew) {
      const { key } = operation;
      switch (operation.op) {
        case "put":
          return handler.sign({
            op: "put",
            key,
            ...writeOf(operation),
            size: operation.size ?? 0,
            ...conditionOf(operation),
          });
        case "delete":
          return handler.sign({ op: "delete", key, ...conditionOf(operation) });
        default:
          return signRead(operation.op, key, renew);
      }
    },
    upload(operation) {
      const { key, size } = operation;
      return {
        create: (signal) =>
          control<{ uploadId: string }>(
            { op: "create", key, ...writeOf(operation), ...(size !== undefined && { size }) },
            signal,
          ).then(({ uploadId }) => uploadId),
        signPart: (uploadId, partNumber, size) => handler.sign({ op: "part", key, uploadId, partNumber, size }),
        complete: (uploadId, parts, condition, signal) =>
          control({ op: "complete", key, uploadId, parts: parts.length, ...condition }, signal),
        abort: (uploadId) => control({ op: "abort", key, uploadId }),
      };
    },
  });

  const unsupported = (message: string, key: string) => failure("ERR_UNSUPPORTED", message, { store: NAME, key });

  /** What the metadata ask for, in the words of the protocol; `ttl` at once, before the clock may learn better. */
  function requestedEntry(key: string, { metadata, cacheControl: control }: PutOptions): RequestedEntry {
    const parsed = parseMetadata(metadata);
    const names = Object.keys(metadata).filter((name) => !["entry", "expires_at", "compressed"].includes(name));
    if (parsed.kind === "damaged" || names.length > 0) {
      throw unsupported("a presign handler makes the metadata of entries, and of nothing else", key);
    }
    const meta = parsed.kind === "entry" ? parsed.meta : parsed;
    if (control !== undefined && control !== cacheControl()) {
      throw unsupported("a presign handler decides about Cache-Control", key);
    }
    const { expiresAt } = meta;
    return {
      compressed: meta.compressed,
      ...("codec" in meta && { codec: meta.codec, ...(meta.key !== undefined && { keyHash: meta.key }) }),
      ...(expiresAt !== undefined && { ttl: Math.max(0.001, expiresAt - clock.now() / 1_000) }),
    };
  }

  async function* list(prefix: string, { signal }: { signal?: AbortSignal | undefined } = {}) {
    let cursor: string | undefined;
    do {
      signal?.throwIfAborted();
      const page: ListResult = await untilAborted(
        control<ListResult>({ op: "list", key: prefix, ...(cursor !== undefined && { cursor }) }, signal),
        signal,
      );
      for (const object of page.keys) {
        yield { ...object, lastModified: new Date(object.lastModified * 1_000) } satisfies ListedObject;
      }
      cursor = page.cursor;
    } while (cursor !== undefined);
  }

  async function presign(key: string, asked: PresignOptions): Promise<Grant> {
    const { operation = "read", contentType = "application/octet-stream", size, ttl, expiresIn } = asked;
    if (
      asked.filename !== undefined ||
      asked.cacheControl !== undefined ||
      (operation === "read" && asked.contentType)
    ) {
      throw unsupported("a presign handler signs no file name, Cache-Control or type of an answer", key);
    }
    let signing: Promise<SignedRequest>;
    if (operation === "read") signing = handler.sign(plainRead(key, await client.head(key, asked)));
    else if (operation === "delete") signing = handler.sign({ op: "delete", key });
    else if (size === undefined) throw new TypeError("a grant to write needs the size in bytes");
    else {
      const life = ttl === undefined || ttl === Infinity ? {} : { ttl: toSeconds(ttl, "ttl") };
      signing = handler.sign({ op: "put", key, size, contentType, codec: codecOfType(contentType), ...life });
    }
    const { method, url, headers, expiresAt } = await untilAborted(signing, asked.signal);
    if (expiresIn !== undefined && expiresAt - clock.now() / 1_000 > toSeconds(expiresIn, "expiresIn") + 2) {
      throw unsupported("the presign handler decides how long a grant lives, and that is longer", key);
    }
    return { key, operation, method, url, headers, expiresAt };
  }

  return {
    name: NAME,
    get: client.get,
    head: client.head,
    delete: client.delete,
    // The handler makes the metadata, so it is told what to write instead.
    put: async (key, body, options) => {
      const { cacheControl: _, ...rest } = options;
      return client.put(key, body, { ...rest, metadata: {}, requested: requestedEntry(key, options) });
    },
    async deleteMany(keys, options) {
      for (let start = 0; start < keys.length; start += DELETES) {
        const batch = keys.slice(start, start + DELETES);
        const results = await Promise.allSettled(batch.map((key) => client.delete(key, options)));
        for (const result of results) if (result.status === "rejected") throw result.reason;
      }
    },
    list,
    presign,
    prepare(keys) {
      // What fails here fails again for who reads.
      for (const key of keys) signRead("get", key).catch(() => {});
    },
  };
}

function writeOf({ contentType, sha256, requested }: PutOperation): Omit<PutRequest, "op" | "key" | "size"> {
  return {
    ...requested,
    // Recorders name their codecs with a comma, which no handler takes.
    contentType: contentType.replace(/;.*,.*/, ""),
    ...(sha256 !== undefined && { sha256 }),
  };
}
