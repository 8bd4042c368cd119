/** One request of a batch: what is asked, whether it may be, and the grant. */
import { formatMetadata, newNonce } from "../entry/entry.js";
import { type ErrorCode, isBucketCacheError } from "../errors.js";
import type { BucketSigner } from "../types.js";
import { objectKey } from "../data/key.js";
import { conditionOf, fieldHeaders, partRequest, toRequest } from "../s3/operations.js";
import {
  Malformed,
  type CreateRequest,
  type ListResult,
  type PartRequest,
  type PresignRequest,
  type PresignResult,
  type PutRequest,
} from "../presigned/protocol.js";
import { abort, complete } from "./complete.js";
import { parseRequest } from "./messages.js";
import { BatchRefused, Refused, tooLarge, type AuthorizeContext, type Permit, type Rules } from "./rules.js";
import { clientId, parseClientId, proofOf } from "./uploads.js";

/** A single PUT, and a part. Bytes. */
const LARGEST_PUT = 5 * 2 ** 30;

/** S3 takes smaller ones only at the end. Bytes. */
const SMALLEST_PART = 5 * 2 ** 20;

const DEFAULT_TYPE = "application/octet-stream";

/** Never rejects, but for {@link BatchRefused}. */
export async function answer(rules: Rules, http: Request, value: unknown): Promise<PresignResult> {
  try {
    const request = parseRequest(value);
    checkKey(rules.prefix, request);
    return await grant(rules, http, request, permitFor(rules, http, request.key));
  } catch (error) {
    if (error instanceof BatchRefused) throw error;
    return { error: describe(error) };
  }
}

function describe(error: unknown): { code: ErrorCode; message: string } {
  if (error instanceof Malformed) return { code: "ERR_PROTOCOL", message: error.message };
  // The store's own errors name bucket and key, as every grant does, and hold nothing secret.
  if (error instanceof Refused || isBucketCacheError(error)) return { code: error.code, message: error.message };
  return { code: "ERR_STORE", message: "the handler failed" };
}

function permitFor(rules: Rules, request: Request, key: string): Permit {
  return async (operation, { size, ttl, contentType } = {}) => {
    let granted: unknown;
    try {
      granted = await rules.authorize({ request, operation, key, size, ttl, contentType });
    } catch (error) {
      const status = (error as { status?: unknown } | undefined)?.status;
      if (status === 401 || status === 429) throw new BatchRefused(status);
      // What an exception says is not for the client.
    }
    if (granted !== true) throw new Refused("ERR_FORBIDDEN", `you may not ${operation} this`);
  };
}

function grant(rules: Rules, http: Request, request: PresignRequest, permit: Permit): Promise<PresignResult> {
  switch (request.op) {
    case "get":
    case "head":
      return sign(rules, permit, "read", toRequest(request));
    case "delete":
      return sign(rules, permit, "delete", toRequest(request));
    case "put":
      return put(rules, request, permit);
    case "create":
      return create(rules, http, request, permit);
    case "part":
      return part(rules, request, permit);
    case "complete":
      return complete(rules, request, permit);
    case "abort":
      return abort(rules, http, request, permit);
    case "list":
      return list(rules, request.key, request.cursor, permit);
  }
}

async function sign(
  rules: Rules,
  permit: Permit,
  operation: AuthorizeContext["operation"],
  signable: Parameters<BucketSigner["sign"]>[0],
  details?: Parameters<Permit>[1],
): Promise<PresignResult> {
  await permit(operation, details);
  return signed(rules, signable);
}

async function signed(
  { signer, expiresIn }: Rules,
  signable: Parameters<BucketSigner["sign"]>[0],
): Promise<PresignResult> {
  const { method, url, headers, expiresAt } = await signer.sign(signable, expiresIn);
  return { method, url, headers, expiresAt };
}

function put(rules: Rules, request: PutRequest, permit: Permit): Promise<PresignResult> {
  const { size, ttl, sha256 } = request;
  const { contentType, metadata } = stamp(rules, request);
  if (size > LARGEST_PUT) throw new Refused("ERR_TOO_LARGE", "a single PUT takes 5 GiB: upload in parts");
  const signable = toRequest({
    op: "put",
    key: request.key,
    size,
    contentType,
    metadata,
    sha256,
    ...conditionOf(request),
  });
  // Signed, so that nobody adds an encoding that readers would fail on.
  const headers = { ...signable.headers, "content-encoding": "identity" };
  return sign(rules, permit, "write", { ...signable, headers }, { size, ttl, contentType });
}

/** Everything about an entry that the client may not choose, and what it may, within the limits. */
function stamp(rules: Rules, request: PutRequest | CreateRequest) {
  const { size, ttl, contentType = DEFAULT_TYPE, codec = "bytes", compressed = false, keyHash } = request;
  if (size !== undefined && size > rules.maxBytes) throw tooLarge(rules.maxBytes);
  if (rules.maxTtl !== undefined && !(ttl !== undefined && ttl <= rules.maxTtl)) {
    throw new Refused("ERR_FORBIDDEN", `a ttl of at most ${rules.maxTtl} seconds is required here`);
  }
  if (rules.contentTypes !== undefined && !isListed(contentType, rules.contentTypes)) {
    throw new Refused("ERR_FORBIDDEN", "this content type is not allowed here");
  }
  const now = rules.clock.now() / 1_000;
  const nonce = newNonce();
  const expiresAt = ttl === undefined ? undefined : now + ttl;
  const metadata = formatMetadata({
    created: now,
    codec,
    nonce,
    ...(keyHash !== undefined && { key: keyHash }),
    expiresAt,
    compressed,
  });
  return { contentType, metadata, nonce, expiresAt };
}

async function create(rules: Rules, http: Request, request: CreateRequest, permit: Permit): Promise<PresignResult> {
  const { key, size, ttl } = request;
  const { contentType, metadata, nonce, expiresAt } = stamp(rules, request);
  await permit("write", { size, ttl, contentType });
  const uploadId = await rules.signer.createUpload(key, fieldHeaders({ contentType, metadata }));
  const id = clientId(nonce, uploadId, { size, ttl, contentType });
  try {
    const starter = await proofOf(http, id);
    await rules.uploads.save(id, {
      key,
      entry: metadata["entry"] as string,
      ...(expiresAt !== undefined && { expiresAt }),
      ...(starter !== undefined && { starter }),
    });
  } catch (error) {
    await rules.signer.abortUpload(key, uploadId).catch(() => {});
    throw error;
  }
  return { uploadId: id };
}

async function part(rules: Rules, request: PartRequest, permit: Permit): Promise<PresignResult> {
  const { key, partNumber, size } = request;
  const { uploadId, declared } = parseClientId(request.uploadId);
  // First of all: who may not write here learns nothing, and costs nothing.
  await permit("write", { ...declared, size });
  const record = await rules.uploads.find(request.uploadId, key);
  if (record === undefined) throw new Refused("ERR_FORBIDDEN", "there is no such upload of this key");
  if (record.expiresAt !== undefined && rules.clock.now() >= record.expiresAt * 1_000) {
    throw new Refused("ERR_FORBIDDEN", "the entry has ended before its upload has");
  }
  const limit = Math.min(declared.size ?? Infinity, rules.maxBytes);
  // Parts are of one size, the last may be smaller: either way so many of this size fit into the whole, and before it
  // there is room for the smallest that the store takes.
  if (size < 1 || size > LARGEST_PUT || partNumber * size > limit || (partNumber - 1) * SMALLEST_PART + size > limit) {
    throw tooLarge(limit);
  }
  return signed(rules, partRequest(key, uploadId, partNumber, size));
}

async function list(rules: Rules, prefix: string, cursor: string | undefined, permit: Permit): Promise<PresignResult> {
  if (!rules.allowList) throw new Refused("ERR_FORBIDDEN", "listing is off here (allowList)");
  await permit("list");
  const page = await rules.signer.listPage(prefix, cursor);
  const keys: ListResult["keys"] = page.objects
    .filter(({ key }) => key.startsWith(prefix) && !RESERVED.test(key))
    .map(({ key, size, etag, lastModified }) => ({ key, size, etag, lastModified: lastModified.getTime() / 1_000 }));
  return { keys, ...(page.cursor !== undefined && { cursor: page.cursor }) };
}

/** Our own keys, whatever prefix the cache has. */
const RESERVED = /(?:^|[/\\])\.bucketcache(?:[/\\]|$)/i;

const DOTS = /(?:^|[/\\])\.{1,2}(?:[/\\]|$)/;

function checkKey(prefix: string, { op, key }: PresignRequest): void {
  if (!key.startsWith(prefix)) throw new Refused("ERR_FORBIDDEN", "the key is outside the prefix of this handler");
  // A prefix may end anywhere within a key.
  const whole = op === "list" ? `${key}x` : key;
  try {
    objectKey("", whole);
  } catch (error) {
    throw new Malformed((error as Error).message);
  }
  // Proxies that undo percent-encoding once more must not be led elsewhere either.
  let seen = whole;
  for (let last = ""; last !== seen;) {
    last = seen;
    seen = last.replace(/%([0-7][0-9a-f])/gi, (_, hex: string) => String.fromCharCode(parseInt(hex, 16)));
  }
  if (RESERVED.test(whole) || RESERVED.test(seen)) throw new Refused("ERR_FORBIDDEN", "the key is reserved");
  if (DOTS.test(seen) || /[\0-\x1f\x7f]/.test(seen)) {
    throw new Refused("ERR_FORBIDDEN", "the key hides `.` or `..` segments, or control characters");
  }
}

function isListed(contentType: string, allowed: readonly string[]): boolean {
  const whole = contentType.toLowerCase().replace(/\s/g, "");
  const essence = whole.split(";")[0] as string;
  return allowed.some((entry) => {
    const listed = entry.toLowerCase().replace(/\s/g, "");
    if (listed.endsWith("/*")) return essence.startsWith(listed.slice(0, -1));
    return listed === (listed.includes(";") ? whole : essence);
  });
}
