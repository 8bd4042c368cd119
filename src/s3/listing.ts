/** Lists of objects. https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectsV2.html */
import { decodeFormText } from "../base/percent.js";
import type { CallOptions, ListedObject } from "../types.js";
import { quotedEtag } from "./etag.js";
import { eachListed, type ListPage } from "./each-listed.js";
import { failure, type Purpose } from "./failure.js";
import { requestXml, type BucketConnection } from "./xml-request.js";
import { childText, type XmlElement } from "./xml.js";

/**
 * Lists one page. The cursor is the token that the store named, or, where it named none, or the one that led here, the
 * last key of the page, after which the next one begins.
 *
 * @throws BucketCacheError `ERR_PROTOCOL` for a page that was cut off and does not say where the next one begins
 */
export async function listPage(
  bucket: BucketConnection,
  prefix: string,
  cursor?: string,
  { signal }: CallOptions = {},
): Promise<ListPage> {
  const purpose: Purpose = { store: bucket.name, action: "s3:ListBucket" };
  const place = placeOf(cursor);
  const query = {
    "list-type": "2",
    prefix,
    // Keys may hold characters that XML cannot.
    "encoding-type": "url",
    ...place,
  };
  const { objects, isTruncated, token } = await requestXml(bucket, {
    purpose,
    request: { method: "GET", key: "", query },
    signal,
    read: readPage,
  });
  if (!isTruncated) return { objects, cursor: undefined };
  const { capabilities, name } = bucket;
  const after = place["start-after"];
  const isToken = token !== "" && token !== place["continuation-token"];
  if (isToken && after === undefined && !capabilities.listsByKey) return { objects, cursor: TOKEN + token };
  const last = objects.at(-1)?.key;
  // A store that ignores `start-after` answers with the first page again.
  if (last === undefined || objects.some(({ key }) => key === after)) {
    throw failure("ERR_PROTOCOL", `${name} cut the list off, and does not say where it goes on`, purpose);
  }
  capabilities.listsByKey = true;
  capabilities.report("cuts a list off and names no next page: it goes on after the last key instead");
  return { objects, cursor: KEY + encodeURIComponent(last) };
}

/** A cursor begins with its kind, and is ASCII, as the presign protocol wants it. */
const TOKEN = "token:";
const KEY = "after:";

function placeOf(cursor: string | undefined): { "continuation-token"?: string; "start-after"?: string } {
  if (cursor === undefined) return {};
  if (cursor.startsWith(KEY)) return { "start-after": decodeURIComponent(cursor.slice(KEY.length)) };
  return { "continuation-token": cursor.startsWith(TOKEN) ? cursor.slice(TOKEN.length) : cursor };
}

export function listObjects(
  bucket: BucketConnection,
  prefix: string,
  options?: CallOptions,
): AsyncGenerator<ListedObject, void, undefined> {
  return eachListed(bucket.name, (cursor) => listPage(bucket, prefix, cursor, options));
}

function readPage(root: XmlElement): { objects: ListedObject[]; isTruncated: boolean; token: string } {
  const isEncoded = childText(root, "EncodingType") === "url";
  const objects = root.children
    .filter(({ name }) => name === "Contents")
    .map((element): ListedObject => {
      const key = childText(element, "Key");
      return {
        key: isEncoded ? decodeFormText(key) : key,
        size: Number(childText(element, "Size")),
        etag: quotedEtag(childText(element, "ETag")),
        lastModified: new Date(childText(element, "LastModified")),
      };
    });
  const isTruncated = childText(root, "IsTruncated") === "true";
  return { objects, isTruncated, token: childText(root, "NextContinuationToken") };
}
