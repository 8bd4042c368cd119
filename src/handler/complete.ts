/** The end of a multipart upload. Only here the handler sees which bytes have really been uploaded. */
import { conditionOf } from "../s3/operations.js";
import { isBucketCacheError } from "../errors.js";
import { Malformed, type AbortRequest, type CompleteRequest, type PresignResult } from "../presigned/protocol.js";
import { Refused, tooLarge, type Permit, type Rules } from "./rules.js";
import { parseClientId, proofOf } from "./uploads.js";

/**
 * Puts together the parts that the store has, when they are what was authorised; an upload that is more is removed. A
 * second call for the same upload succeeds too, since the answer to the first may have been lost.
 */
export async function complete(rules: Rules, request: CompleteRequest, permit: Permit): Promise<PresignResult> {
  const { signer, uploads } = rules;
  const { key } = request;
  const { uploadId, nonce, declared } = parseClientId(request.uploadId);
  // Asked first, as the upload was declared, so that a client that may not write here learns and aborts nothing.
  await permit("write", declared);
  const record = await uploads.find(request.uploadId, key);
  const { size, ttl, contentType } = declared;
  if (record === undefined) return completedBefore(rules, key, nonce);

  const abortAndThrow = async (reason: unknown): Promise<never> => {
    await signer.abortUpload(key, uploadId);
    await uploads.forget(request.uploadId);
    throw reason;
  };
  if (record.expiresAt !== undefined && rules.clock.now() >= record.expiresAt * 1_000) {
    return abortAndThrow(new Refused("ERR_FORBIDDEN", "the entry has ended before its upload has"));
  }
  let parts: Parts;
  try {
    parts = await signer.listParts(key, uploadId);
  } catch (error) {
    if (!isBucketCacheError(error) || error.storeCode !== "NoSuchUpload") throw error;
    return completedBefore(rules, key, nonce);
  }
  const total = parts.reduce((sum, part) => sum + part.size, 0);
  const limit = Math.min(size ?? Infinity, rules.maxBytes);
  if (total > limit) return abortAndThrow(tooLarge(limit));
  checkParts(parts, request.parts);
  if (size === undefined) {
    await permit("write", { size: total, ttl, contentType }).catch(abortAndThrow);
  } else if (total < size) {
    throw new Malformed(`${total} of ${size} bytes have been uploaded: upload the rest, or abort`);
  }
  const { etag } = await signer.completeUpload(key, uploadId, parts, conditionOf(request), { entry: record.entry });
  // A record that stays behind does no harm: its upload has ended.
  await uploads.forget(request.uploadId).catch(() => {});
  return { etag };
}

/**
 * Aborts an upload. An upload that has ended, or never was, is no error.
 *
 * A client that began an upload and may no longer write is refused. Its upload is removed all the same, since nobody can
 * use it.
 */
export async function abort(
  { uploads, signer }: Rules,
  http: Request,
  { key, uploadId: id }: AbortRequest,
  permit: Permit,
): Promise<PresignResult> {
  const { uploadId, declared } = parseClientId(id);
  const remove = async (): Promise<void> => {
    await signer.abortUpload(key, uploadId);
    await uploads.forget(id);
  };
  try {
    await permit("write", declared);
  } catch (refusal) {
    const proof = await proofOf(http, id);
    // The refusal stands, also when the upload cannot be removed: then the lifecycle rule of the bucket removes it.
    const record = proof === undefined ? undefined : await uploads.find(id, key).catch(() => undefined);
    if (record?.starter !== undefined && record.starter === proof) await remove().catch(() => {});
    throw refusal;
  }
  if ((await uploads.find(id, key)) !== undefined) await remove();
  return {};
}

type Parts = Awaited<ReturnType<Rules["signer"]["listParts"]>>;

/**
 * Answers for an upload that has ended already: the object that it became has its nonce in its metadata.
 *
 * @throws Refused where there is no such object
 */
async function completedBefore({ store }: Rules, key: string, nonce: string): Promise<PresignResult> {
  const head = await store.head(key);
  if (head?.metadata["entry"]?.includes(`nonce=:${nonce}:`) === true) return { etag: head.etag };
  throw new Refused("ERR_FORBIDDEN", "there is no such upload of this key");
}

/** @throws Malformed unless the parts are those that the client means, without gaps, and of one size but for a smaller last */
function checkParts(parts: Parts, meant: CompleteRequest["parts"]): void {
  const largest = parts[0]?.size ?? 0;
  if (parts.length === 0) throw new Malformed("nothing has been uploaded");
  if (parts.some(({ partNumber }, index) => partNumber !== index + 1))
    throw new Malformed("parts are missing: upload them first");
  const uneven = parts.some(({ size }, index) => (index === parts.length - 1 ? size > largest : size !== largest));
  if (uneven) throw new Malformed("all parts but the last must be of one size, and the last no larger");
  const count = typeof meant === "object" ? meant.length : meant;
  if (count !== undefined && count !== parts.length) {
    throw new Malformed(`the store holds ${parts.length} parts, not ${count}`);
  }
  if (typeof meant !== "object") return;
  for (const { partNumber, etag = "" } of meant) {
    const part = parts[partNumber - 1];
    if (part === undefined || (etag !== "" && unquoted(etag) !== unquoted(part.etag))) {
      throw new Malformed(`part ${partNumber} is not the one that the store holds`);
    }
  }
}

function unquoted(etag: string): string {
  return etag.replaceAll('"', "");
}
