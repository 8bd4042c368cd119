import { S3Error } from "./errors.js";
import { xmlReply, type Context, type Reply } from "./reply.js";
import { encodeRfc3986, type S3Request } from "./request.js";
import { compareKeys } from "./sorted-keys.js";
import type { Bucket, StoredObject } from "./storage.js";
import { tag } from "./xml.js";

const MAX_KEYS = 1000;

interface Page {
  objects: StoredObject[];
  prefixes: string[];
  /** The last key or common prefix of the page, when there is more. */
  next: string | undefined;
}

/** Returns one page of the keys after `after`, those below a delimiter rolled up. */
function listPage(bucket: Bucket, prefix: string, delimiter: string, after: string, maximum: number): Page {
  const objects: StoredObject[] = [];
  const prefixes: string[] = [];
  let last: string | undefined;
  if (maximum === 0) return { objects, prefixes, next: undefined };
  const keys = bucket.keys.from(compareKeys(after, prefix) > 0 ? after : prefix);
  for (let step = keys.next(); step.done !== true;) {
    const key = step.value;
    if (!key.startsWith(prefix)) {
      if (compareKeys(key, prefix) > 0) break;
      step = keys.next();
      continue;
    }
    const at = delimiter === "" ? -1 : key.indexOf(delimiter, prefix.length);
    const common = at < 0 ? undefined : key.slice(0, at + delimiter.length);
    if (key === after || (common !== undefined && common === after)) {
      step = keys.next(common === undefined ? undefined : { skipPrefix: common });
      continue;
    }
    if (objects.length + prefixes.length === maximum) return { objects, prefixes, next: last };
    last = common ?? key;
    if (common === undefined) objects.push(bucket.get(key));
    else prefixes.push(common);
    step = keys.next(common === undefined ? undefined : { skipPrefix: common });
  }
  return { objects, prefixes, next: undefined };
}

interface Parameters {
  prefix: string;
  delimiter: string;
  maximum: number;
  /** Writes a key: URL-encoded when the client asks for it. */
  write: (key: string) => string;
  encodingType: "url" | undefined;
}

function parameters(request: S3Request): Parameters {
  const encodingType = request.query("encoding-type");
  if (encodingType !== undefined && encodingType !== "url") {
    throw new S3Error("InvalidArgument", "Invalid Encoding Method specified in Request", {
      ArgumentName: "encoding-type",
      ArgumentValue: encodingType,
    });
  }
  return {
    prefix: request.query("prefix") ?? "",
    delimiter: request.query("delimiter") ?? "",
    maximum: request.integer("max-keys", MAX_KEYS, MAX_KEYS),
    write: encodingType === "url" ? urlEncode : (key) => key,
    encodingType,
  };
}

/** Encodes a key as S3 does with `encoding-type=url`: as in a form, with slashes left alone. */
function urlEncode(key: string): string {
  return encodeRfc3986(key, true).replaceAll("%20", "+");
}

function contents({ objects, prefixes }: Page, write: (key: string) => string, owner: boolean): string {
  let inner = "";
  for (const object of objects) {
    inner += `<Contents>${
      tag("Key", write(object.key)) +
      tag("LastModified", new Date(object.modified).toISOString()) +
      tag("ETag", `"${object.etag}"`) +
      (object.checksum === undefined
        ? ""
        : tag("ChecksumAlgorithm", object.checksum.algorithm.toUpperCase()) +
          tag("ChecksumType", object.checksum.type)) +
      tag("Size", object.size) +
      (owner ? OWNER : "")
    }<StorageClass>STANDARD</StorageClass></Contents>`;
  }
  for (const prefix of prefixes) inner += `<CommonPrefixes>${tag("Prefix", write(prefix))}</CommonPrefixes>`;
  return inner;
}

/** There is one user here, with one name. */
export const OWNER = "<Owner><ID>bucketcache</ID><DisplayName>bucketcache</DisplayName></Owner>";

export function listObjectsV2({ request, storage }: Context): Reply {
  const bucket = storage.bucket(request.bucket ?? "");
  const { prefix, delimiter, maximum, write, encodingType } = parameters(request);
  const token = request.query("continuation-token");
  const startAfter = request.query("start-after");
  const page = listPage(
    bucket,
    prefix,
    delimiter,
    token === undefined ? (startAfter ?? "") : readToken(token),
    maximum,
  );
  return xmlReply(
    "ListBucketResult",
    tag("Name", bucket.name) +
      tag("Prefix", write(prefix)) +
      tag("Delimiter", delimiter === "" ? undefined : write(delimiter)) +
      tag("StartAfter", startAfter === undefined ? undefined : write(startAfter)) +
      tag("ContinuationToken", token) +
      tag("NextContinuationToken", page.next === undefined ? undefined : writeToken(page.next)) +
      tag("KeyCount", page.objects.length + page.prefixes.length) +
      tag("MaxKeys", maximum) +
      tag("EncodingType", encodingType) +
      tag("IsTruncated", page.next !== undefined) +
      contents(page, write, request.query("fetch-owner") === "true"),
  );
}

/** Lists by the first version of the protocol, which some tools still use. */
export function listObjects({ request, storage }: Context): Reply {
  const bucket = storage.bucket(request.bucket ?? "");
  const { prefix, delimiter, maximum, write, encodingType } = parameters(request);
  const marker = request.query("marker") ?? "";
  const page = listPage(bucket, prefix, delimiter, marker, maximum);
  return xmlReply(
    "ListBucketResult",
    tag("Name", bucket.name) +
      tag("Prefix", write(prefix)) +
      tag("Marker", write(marker)) +
      tag("Delimiter", delimiter === "" ? undefined : write(delimiter)) +
      tag("NextMarker", page.next === undefined || delimiter === "" ? undefined : write(page.next)) +
      tag("MaxKeys", maximum) +
      tag("EncodingType", encodingType) +
      tag("IsTruncated", page.next !== undefined) +
      contents(page, write, true),
  );
}

/** Makes the token of the next page, which is opaque to clients. */
function writeToken(after: string): string {
  return Buffer.from(`1${after}`).toString("base64url");
}

function readToken(token: string): string {
  const text = Buffer.from(token, "base64url").toString();
  if (!text.startsWith("1") || writeToken(text.slice(1)) !== token) {
    throw new S3Error("InvalidArgument", "The continuation token provided is incorrect", {
      ArgumentName: "continuation-token",
    });
  }
  return text.slice(1);
}
