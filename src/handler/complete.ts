/** The end of a multipart upload: here, and only here, is seen what has really been uploaded. */
import { conditionOf } from "../s3/operations.js";
import { isBucketCacheError } from "../errors.js";
import { Malformed, type AbortRequest, type CompleteRequest, type PresignResult } from "../presigned/protocol.js";
import { Refused, tooLarge, type Permit, type Rules } from "./rules.js";
import { parseClientId, proofOf } from "./uploads.js";

/**
 * Puts the parts together that the store has, when they are what was authorised. Parts beyond that are removed with their
 * upload. A second call for the same upload, whose first answer was lost, succeeds too.
 */
export async function complete(rules: Rules, request: CompleteRequest, permit: Permit): Promise<PresignResult> {
  const { signer, uploads } = rules;
  const { key } = request;
  const { uploadId, nonce, declared } = parseClientId(request.uploadId);
  // First as the upload was declared, so that whoever may not write here learns nothing and aborts nothing.
  await permit("write", declared);
  const record = await uploads.find(request.uploadId, key);
  const { size, ttl, contentType } = declared;
  if (record === undefined) return completedBefore(rules, key, nonce);

  const giveUp = async (reason: unknown): Promise<never> => {
    await signer.abortUpload(key, uploadId);
    await uploads.forget(request.uploadId);
    throw reason;
  };
  if (record.expiresAt !== undefined && rules.clock.now() >= record.expiresAt * 1_000) {
    return giveUp(new Refused("ERR_FORBIDDEN", "the entry has ended before its upload has"));
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
  if (total > limit) return giveUp(tooLarge(limit));
  checkParts(parts, request.parts);
  if (size === undefined) {
    await permit("write", { size: total, ttl, contentType }).catch(giveUp);
  } else if (total < size) {
    throw new Malformed(`${total} of ${size} bytes have been uploaded`);
  }
  const { etag } = await signer.completeUpload(key, uploadId, parts, conditionOf(request), { entry: record.entry });
  // A record that stays behind does no harm: its upload is no more.
  await uploads.forget(request.uploadId).catch(() => {});
  return { etag };
}

/**
 * Aborting what is over, or never was, is no error.
 *
 * Who began an upload and may write no longer is refused as well; but what it leaves behind is of no use to anybody, so
 * it is removed all the same.
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
    // The refusal stands, whatever comes of it; then the bucket's lifecycle rule has to do.
    const record = proof === undefined ? undefined : await uploads.find(id, key).catch(() => undefined);
    if (record?.starter !== undefined && record.starter === proof) await remove().catch(() => {});
    throw refusal;
  }
  if ((await uploads.find(id, key)) !== undefined) await remove();
  return {};
}

type Parts = Awaited<ReturnType<Rules["signer"]["listParts"]>>;

/** The nonce is in the metadata of the object that this upload became. */
async function completedBefore({ store }: Rules, key: string, nonce: string): Promise<PresignResult> {
  const head = await store.head(key);
  if (head?.metadata["entry"]?.includes(`nonce=:${nonce}:`) === true) return { etag: head.etag };
  throw new Refused("ERR_FORBIDDEN", "there is no such upload of this key");
}

/** Numbered without gaps, of one size but for a smaller last one, and those that the client means. */
function checkParts(parts: Parts, meant: CompleteRequest["parts"]): void {
  const largest = parts[0]?.size ?? 0;
  if (parts.length === 0) throw new Malformed("nothing has been uploaded");
  if (parts.some(({ partNumber }, index) => partNumber !== index + 1)) throw new Malformed("parts are missing");
  const uneven = parts.some(({ size }, index) => (index === parts.length - 1 ? size > largest : size !== largest));
  if (uneven) throw new Malformed("all parts but the last must be of one size, and the last no larger");
  const count = typeof meant === "object" ? meant.length : meant;
  if (count !== undefined && count !== parts.length) {
    throw new Malformed(`the store holds ${parts.length} parts, not ${count}`);
  }
  if (typeof meant !== "object") return;
  for (const { partNumber, etag = "" } of meant) {
    const part = parts[partNumber - 1];
    if (part === undefined || (etag !== "" && bare(etag) !== bare(part.etag))) {
      throw new Malformed(`part ${partNumber} is not the one that the store holds`);
    }
  }
}

function bare(etag: string): string {
  return etag.replaceAll('"', "");
}
