/** One request of a batch: its key is checked, `authorize` is asked, and the grant is signed. */
import { formatMetadata, newNonce } from "../entry/entry.js";
import { type ErrorCode, isBucketCacheError } from "../errors.js";
import type { BucketSigner } from "../types.js";
import { essenceOf, OCTET_STREAM } from "../base/media-type.js";
import { objectKey } from "../data/key.js";
import { MAX_PUT_BYTES, MIN_PART_BYTES } from "../s3/limits.js";
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

/**
 * Answers one request. A refusal of it is its result.
 *
 * @throws BatchRefused when the whole batch is refused
 */
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
  // Errors of the store name bucket and key, as every grant does, and hold nothing secret.
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
      // The message of an exception is not for the client.
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
  { signer, expiresInSeconds }: Rules,
  signable: Parameters<BucketSigner["sign"]>[0],
): Promise<PresignResult> {
  const { method, url, headers, expiresAt } = await signer.sign(signable, expiresInSeconds);
  return { method, url, headers, expiresAt };
}

function put(rules: Rules, request: PutRequest, permit: Permit): Promise<PresignResult> {
  const { size, ttl, sha256 } = request;
  const { contentType, metadata } = stamp(rules, request);
  if (size > MAX_PUT_BYTES) throw new Refused("ERR_TOO_LARGE", "a single PUT takes at most 5 GiB: upload in parts");
  const signable = toRequest({
    op: "put",
    key: request.key,
    size,
    contentType,
    metadata,
    sha256,
    ...conditionOf(request),
  });
  // This header is signed so that nobody adds an encoding that readers would fail on.
  const headers = { ...signable.headers, "content-encoding": "identity" };
  return sign(rules, permit, "write", { ...signable, headers }, { size, ttl, contentType });
}

/**
 * Makes the metadata of an entry: nonce and times are the handler's, the rest is the client's within the limits.
 *
 * @throws Refused for a size, a TTL or a content type that the rules do not allow
 */
function stamp(rules: Rules, request: PutRequest | CreateRequest) {
  const { size, ttl, contentType = OCTET_STREAM, codec = "bytes", compressed = false, keyHash } = request;
  if (size !== undefined && size > rules.maxBytes) throw tooLarge(rules.maxBytes);
  const { maxTtlSeconds } = rules;
  if (maxTtlSeconds !== undefined && !(ttl !== undefined && ttl <= maxTtlSeconds)) {
    throw new Refused("ERR_FORBIDDEN", `a ttl of at most ${maxTtlSeconds} seconds is required here`);
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
  // Asked first, so that a client that may not write here learns nothing, and costs nothing.
  await permit("write", { ...declared, size });
  const record = await rules.uploads.find(request.uploadId, key);
  if (record === undefined) throw new Refused("ERR_FORBIDDEN", "there is no such upload of this key");
  if (record.expiresAt !== undefined && rules.clock.now() >= record.expiresAt * 1_000) {
    throw new Refused("ERR_FORBIDDEN", "the entry has ended before its upload has");
  }
  const limit = Math.min(declared.size ?? Infinity, rules.maxBytes);
  // All parts but a smaller last one have one size. So this many parts of this size must fit into the whole; and where
  // this is the last part, those before it have at least the smallest size that the store takes.
  if (
    size < 1 ||
    size > MAX_PUT_BYTES ||
    partNumber * size > limit ||
    (partNumber - 1) * MIN_PART_BYTES + size > limit
  ) {
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

/** Keys that the library keeps for itself, whatever prefix the cache has. */
const RESERVED = /(?:^|[/\\])\.bucketcache(?:[/\\]|$)/i;

const DOTS = /(?:^|[/\\])\.{1,2}(?:[/\\]|$)/;

/**
 * @throws Refused for a key that this handler does not grant
 * @throws Malformed for a text that is no object key
 */
function checkKey(prefix: string, { op, key }: PresignRequest): void {
  if (!key.startsWith(prefix)) throw new Refused("ERR_FORBIDDEN", "the key is outside the prefix of this handler");
  // A prefix may end anywhere within a key, also where a key may not.
  const whole = op === "list" ? `${key}x` : key;
  try {
    objectKey("", whole);
  } catch (error) {
    throw new Malformed((error as Error).message);
  }
  const decoded = fullyDecoded(whole);
  // SeaweedFS takes it for a slash, so that a rule about what lies below a slash would not see the key.
  if (decoded.includes("\\"))
    throw new Refused("ERR_FORBIDDEN", "the key holds a backslash, which some stores take for a slash");
  if (RESERVED.test(whole) || RESERVED.test(decoded)) throw new Refused("ERR_FORBIDDEN", "the key is reserved");
  if (DOTS.test(decoded) || /[\0-\x1f\x7f]/.test(decoded)) {
    throw new Refused("ERR_FORBIDDEN", "the key hides `.` or `..` segments, or control characters");
  }
}

/** Undoes percent-encoding of ASCII as often as it was done: a proxy may undo it too, and must not be led elsewhere. */
function fullyDecoded(key: string): string {
  const decoded = key.replace(/%([0-7][0-9a-f])/gi, (_, hex: string) => String.fromCharCode(parseInt(hex, 16)));
  return decoded === key ? key : fullyDecoded(decoded);
}

function isListed(contentType: string, allowed: readonly string[]): boolean {
  const whole = contentType.toLowerCase().replace(/\s/g, "");
  const essence = essenceOf(whole);
  return allowed.some((entry) => {
    const listed = entry.toLowerCase().replace(/\s/g, "");
    if (listed.endsWith("/*")) return essence.startsWith(listed.slice(0, -1));
    return listed === (listed.includes(";") ? whole : essence);
  });
}
