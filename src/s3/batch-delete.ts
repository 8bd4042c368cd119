/** Deletes of many objects by one request. https://docs.aws.amazon.com/AmazonS3/latest/API/API_DeleteObjects.html */
import { utf8 } from "../base/bytes.js";
import { forEachPooled } from "../base/pool.js";
import { sha256Base64 } from "../base/sha256.js";
import { md5Base64 } from "../data/digest.js";
import { isBucketCacheError } from "../errors.js";
import type { Bytes, CallOptions } from "../types.js";
import type { Purpose } from "./failure.js";
import { MAX_DELETED_OBJECTS } from "./limits.js";
import { refusalError } from "./refusal.js";
import type { Incoming } from "./transport.js";
import { requestXml, type BucketConnection } from "./xml-request.js";
import { escapeXml } from "./xml-text.js";
import { childText, type XmlElement } from "./xml.js";

/** Deletes one object. */
export type DeleteOne = (key: string, options: CallOptions) => Promise<void>;

/** Matches what XML 1.0 cannot write, not even as an entity. */
const NOT_IN_XML = /[\0-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]|\p{Surrogate}/u;

/** @throws BucketCacheError for the first object that was not deleted; its batch is the last one */
export async function deleteMany(
  bucket: BucketConnection,
  deleteOne: DeleteOne,
  keys: readonly string[],
  options: CallOptions = {},
): Promise<void> {
  const inXml = keys.filter((key) => !NOT_IN_XML.test(key));
  for (let start = 0; start < inXml.length; start += MAX_DELETED_OBJECTS) {
    await deleteBatch(bucket, deleteOne, inXml.slice(start, start + MAX_DELETED_OBJECTS), options);
  }
  await forEachPooled(
    keys.filter((key) => NOT_IN_XML.test(key)),
    (key) => deleteOne(key, options),
  );
}

const NEXT_DIGEST = { sha256: "md5", md5: "none" } as const;

/** Deletes a batch in a way that the store knows. The first batch learns which that is. */
async function deleteBatch(
  bucket: BucketConnection,
  deleteOne: DeleteOne,
  keys: readonly string[],
  options: CallOptions,
): Promise<void> {
  const { capabilities } = bucket;
  let digest = capabilities.batchDigest;
  while (digest !== "none") {
    try {
      await requestBatch(bucket, keys, digest, options);
      capabilities.batchDigest = digest;
      return;
    } catch (error) {
      if (!isBatchUnknown(error)) throw error;
      digest = NEXT_DIGEST[digest];
    }
  }
  await forEachPooled(keys, (key) => deleteOne(key, options));
  capabilities.batchDigest = digest;
  capabilities.report("cannot delete many objects at once: they are deleted one by one");
}

/** Whether a store may have refused the batch as such. If something else was wrong, the single deletes fail as well. */
function isBatchUnknown(error: unknown): boolean {
  if (!isBucketCacheError(error) || error.code === "ERR_NO_SUCH_BUCKET") return false;
  return [400, 404, 405, 411, 501].includes(error.status ?? 0);
}

async function requestBatch(
  bucket: BucketConnection,
  keys: readonly string[],
  digest: "sha256" | "md5",
  { signal }: CallOptions,
): Promise<void> {
  const purpose: Purpose = { store: bucket.name, action: "s3:DeleteObject" };
  const objects = keys.map((key) => `<Object><Key>${escapeXml(key)}</Key></Object>`).join("");
  const body = utf8(`<Delete><Quiet>true</Quiet>${objects}</Delete>`);
  const headers = { "content-type": "application/xml", ...(await digestHeader(body, digest)) };
  await requestXml<void>(bucket, {
    purpose,
    request: { method: "POST", key: "", query: { delete: "" }, headers },
    body,
    signal,
    read: (root, response) => checkDeleted(root, response, purpose),
  });
}

async function digestHeader(body: Bytes, digest: "sha256" | "md5"): Promise<Record<string, string>> {
  if (digest === "md5") return { "content-md5": md5Base64(body) };
  return { "x-amz-checksum-sha256": (await sha256Base64(body))! };
}

/** A quiet answer lists only the objects that were not deleted. */
function checkDeleted(root: XmlElement, response: Incoming, purpose: Purpose): void {
  const errors = root.children.filter(({ name }) => name === "Error");
  const [first] = errors;
  if (first === undefined) return;
  const code = childText(first, "Code");
  const more = errors.length > 1 ? ` (and ${errors.length - 1} more keys)` : "";
  const refusal = { status: code === "AccessDenied" ? 403 : 500, code, message: childText(first, "Message") + more };
  throw refusalError(refusal, response, { ...purpose, key: childText(first, "Key") });
}
