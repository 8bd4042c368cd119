/** Lists of objects. https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectsV2.html */
import { decodeFormText } from "../base/percent.js";
import type { CallOptions, ListedObject } from "../types.js";
import { quotedEtag } from "./etag.js";
import { requestXml, type BucketConnection } from "./xml-request.js";
import { childText, type XmlElement } from "./xml.js";

export interface ListPage {
  objects: ListedObject[];
  /** Undefined on the last page. */
  cursor: string | undefined;
}

export function listPage(
  bucket: BucketConnection,
  prefix: string,
  cursor?: string,
  { signal }: CallOptions = {},
): Promise<ListPage> {
  const query = {
    "list-type": "2",
    prefix,
    // Keys may hold characters that XML cannot.
    "encoding-type": "url",
    ...(cursor !== undefined && { "continuation-token": cursor }),
  };
  return requestXml(bucket, {
    purpose: { store: bucket.name, action: "s3:ListBucket" },
    request: { method: "GET", key: "", query },
    signal,
    read: readPage,
  });
}

export async function* listObjects(
  bucket: BucketConnection,
  prefix: string,
  options?: CallOptions,
): AsyncGenerator<ListedObject, void, undefined> {
  let cursor: string | undefined;
  do {
    const page = await listPage(bucket, prefix, cursor, options);
    yield* page.objects;
    cursor = page.cursor;
  } while (cursor !== undefined);
}

function readPage(root: XmlElement): ListPage {
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
  const next = childText(root, "NextContinuationToken");
  return { objects, cursor: childText(root, "IsTruncated") === "true" && next !== "" ? next : undefined };
}
