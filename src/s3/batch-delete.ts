/** Deletes of many objects by one request. https://docs.aws.amazon.com/AmazonS3/latest/API/API_DeleteObjects.html */
import { utf8 } from "../base/bytes.js";
import { sha256Base64 } from "../base/sha256.js";
import type { CallOptions } from "../types.js";
import type { Purpose } from "./failure.js";
import { MAX_DELETED_OBJECTS } from "./limits.js";
import { refusalError } from "./refusal.js";
import type { Incoming } from "./transport.js";
import { requestXml, type BucketConnection } from "./xml-request.js";
import { escapeXml } from "./xml-text.js";
import { childText, type XmlElement } from "./xml.js";

/** @throws BucketCacheError for the first object that was not deleted; its batch is the last one */
export async function deleteMany(
  bucket: BucketConnection,
  keys: readonly string[],
  options: CallOptions = {},
): Promise<void> {
  for (let start = 0; start < keys.length; start += MAX_DELETED_OBJECTS) {
    await deleteBatch(bucket, keys.slice(start, start + MAX_DELETED_OBJECTS), options);
  }
}

async function deleteBatch(bucket: BucketConnection, keys: readonly string[], { signal }: CallOptions): Promise<void> {
  const purpose: Purpose = { store: bucket.name, action: "s3:DeleteObject" };
  const objects = keys.map((key) => `<Object><Key>${escapeXml(key)}</Key></Object>`).join("");
  const body = utf8(`<Delete><Quiet>true</Quiet>${objects}</Delete>`);
  const headers = { "content-type": "application/xml", "x-amz-checksum-sha256": (await sha256Base64(body))! };
  await requestXml<void>(bucket, {
    purpose,
    request: { method: "POST", key: "", query: { delete: "" }, headers },
    body,
    signal,
    read: (root, response) => checkDeleted(root, response, purpose),
  });
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
