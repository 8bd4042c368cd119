import { createHash } from "node:crypto";
import { receiveBody, receiveSmallBody, type BodyChecksum } from "./body.js";
import { createChecksum, isChecksumAlgorithm } from "./checksums.js";
import {
  checkCopyConditions,
  checkReadConditions,
  checkWriteConditions,
  matchesEtag,
  parseRange,
} from "./conditions.js";
import { checksumHeaders, objectHeaders, readDescription, refuseUnsupported } from "./description.js";
import { S3Error } from "./errors.js";
import { emptyReply, xmlReply, type Context, type Reply } from "./reply.js";
import type { S3Request } from "./request.js";
import { wholeSeconds, type Bucket, type Storage, type StoredObject } from "./storage.js";
import { childrenOf, parseXml, tag, textOf } from "./xml.js";

export const MAX_OBJECT = 5 * 1024 ** 3;
const MAX_BATCH = 1000;
/** Size of a thousand keys of 1,024 bytes, each of them escaped. */
export const MAX_LONG_XML = 4 * 1024 * 1024;

/**
 * Returns the bucket and the key of a request that has both. It is called before a body comes in, and again afterwards:
 * the bucket may be gone by then.
 */
export function target({ request, storage }: Context): { bucket: Bucket; key: string } {
  return { bucket: storage.bucket(request.bucket ?? ""), key: request.key ?? "" };
}

export async function putObject(context: Context): Promise<Reply> {
  const { request, storage } = context;
  target(context);
  refuseUnsupported(request);
  const description = readDescription(request);
  const writer = storage.backend.createBlob();
  try {
    const body = await receiveBody(request, (chunk) => writer.write(chunk), { maxBytes: MAX_OBJECT });
    const id = await writer.finish();
    const { bucket, key } = target(context);
    checkWriteConditions(request, key, bucket.find(key));
    const checksum = fullObject(body.checksum);
    bucket.put({
      key,
      size: body.size,
      etag: body.md5,
      modified: wholeSeconds(context.now),
      blobs: [{ id, size: body.size }],
      multipart: false,
      checksum,
      ...description,
    });
    return emptyReply(200, { etag: `"${body.md5}"`, ...checksumHeaders(checksum) });
  } catch (error) {
    await writer.discard();
    throw error;
  }
}

function fullObject(checksum: BodyChecksum | undefined): StoredObject["checksum"] {
  return checksum && { ...checksum, type: "FULL_OBJECT" };
}

/** Serves GetObject and HeadObject, which differ in the body alone: that is left out when the answer is sent. */
export function readObject(context: Context): Reply {
  const { request, storage } = context;
  const { bucket, key } = target(context);
  const object = bucket.get(key);
  if (checkReadConditions(request, object) === "not-modified") {
    return emptyReply(304, { etag: `"${object.etag}"`, "last-modified": new Date(object.modified).toUTCString() });
  }
  const headers = objectHeaders(request, object);
  const range = partRange(request, object, headers) ?? requestedRange(request, object);
  const { start, end } = range ?? { start: 0, end: object.size };
  if (range !== undefined) headers["content-range"] = `bytes ${start}-${end - 1}/${object.size}`;
  else if (request.header("x-amz-checksum-mode")?.toUpperCase() === "ENABLED") {
    Object.assign(headers, checksumHeaders(object.checksum));
  }
  headers["content-length"] = String(end - start);
  const status = range === undefined ? 200 : 206;
  return request.method === "HEAD"
    ? { status, headers }
    : { status, headers, body: storage.backend.read(object.blobs, start, end) };
}

function requestedRange(request: S3Request, object: StoredObject): { start: number; end: number } | undefined {
  const ifRange = request.header("if-range");
  if (ifRange !== undefined) {
    const same = /^(?:W\/)?"/.test(ifRange)
      ? matchesEtag(ifRange, object.etag)
      : Date.parse(ifRange) === object.modified;
    if (!same) return undefined;
  }
  return parseRange(request.header("range"), object.size);
}

/** Returns the range of one part of an object that was uploaded in parts. */
function partRange(
  request: S3Request,
  object: StoredObject,
  headers: Record<string, string>,
): { start: number; end: number } | undefined {
  if (request.query("partNumber") === undefined) return undefined;
  if (request.header("range") !== undefined) {
    throw new S3Error("InvalidRequest", "Cannot specify both Range header and partNumber query parameter");
  }
  const number = request.integer("partNumber", 0, 10_000);
  const blob = object.blobs[number - 1];
  if (blob === undefined) throw new S3Error("InvalidPartNumber");
  if (object.multipart) headers["x-amz-mp-parts-count"] = String(object.blobs.length);
  if (object.size === 0) return undefined;
  const start = object.blobs.slice(0, number - 1).reduce((sum, { size }) => sum + size, 0);
  return { start, end: start + blob.size };
}

export function deleteObject(context: Context): Reply {
  const { bucket, key } = target(context);
  deleteIf(bucket, key, context.request.header("if-match"));
  return emptyReply(204);
}

function deleteIf(bucket: Bucket, key: string, ifMatch: string | undefined): void {
  if (ifMatch !== undefined && !matchesEtag(ifMatch, bucket.get(key).etag)) {
    throw new S3Error("PreconditionFailed", undefined, { Condition: "If-Match" });
  }
  bucket.delete(key);
}

export async function deleteObjects(context: Context): Promise<Reply> {
  const { request, storage } = context;
  const bucket = storage.bucket(request.bucket ?? "");
  requireDigest(request);
  const body = await receiveSmallBody(request, { maxBytes: MAX_LONG_XML });
  const root = parseXml(body);
  const objects = childrenOf(root, "Object");
  if (root.name !== "Delete" || objects.length === 0 || objects.length > MAX_BATCH) throw new S3Error("MalformedXML");
  const quiet = textOf(root, "Quiet")?.trim() === "true";
  let inner = "";
  for (const object of objects) {
    const key = textOf(object, "Key");
    if (key === undefined || key === "") throw new S3Error("MalformedXML");
    try {
      deleteIf(bucket, key, textOf(object, "ETag"));
      if (!quiet) inner += `<Deleted>${tag("Key", key)}</Deleted>`;
    } catch (error) {
      if (!(error instanceof S3Error)) throw error;
      inner += `<Error>${tag("Key", key)}${tag("Code", error.code)}${tag("Message", error.message)}</Error>`;
    }
  }
  return xmlReply("DeleteResult", inner);
}

/** Requires a digest of a batch: one that was cut or changed on its way would delete objects that nobody named. */
function requireDigest(request: S3Request): void {
  const named = Object.keys(request.headersWith("x-amz-checksum-")).some(isChecksumAlgorithm);
  if (request.header("content-md5") === undefined && request.header("x-amz-trailer") === undefined && !named) {
    throw new S3Error("InvalidRequest", "Missing required header for this request: Content-MD5");
  }
}

/** Returns the object that `x-amz-copy-source` names, in whatever bucket. */
export function copySource(request: S3Request, storage: Storage): StoredObject {
  const [path = "", query] = (request.header("x-amz-copy-source") ?? "").split("?");
  let decoded: string;
  try {
    decoded = decodeURIComponent(path).replace(/^\//, "");
  } catch {
    throw new S3Error("InvalidArgument", "Invalid copy source encoding.");
  }
  const slash = decoded.indexOf("/");
  if (slash <= 0 || slash === decoded.length - 1 || (query !== undefined && query !== "versionId=null")) {
    throw new S3Error("InvalidArgument", "Copy Source must mention the source bucket and key: sourcebucket/sourcekey", {
      ArgumentName: "x-amz-copy-source",
      ArgumentValue: path,
    });
  }
  return storage.bucket(decoded.slice(0, slash)).get(decoded.slice(slash + 1));
}

export async function copyObject(context: Context): Promise<Reply> {
  const { request, storage } = context;
  const before = target(context);
  refuseUnsupported(request);
  const source = copySource(request, storage);
  checkCopyConditions(request, source);
  const directive = request.header("x-amz-metadata-directive") ?? "COPY";
  if (directive !== "COPY" && directive !== "REPLACE") {
    throw new S3Error("InvalidArgument", "Unknown metadata directive.");
  }
  if (directive === "COPY" && source === before.bucket.find(before.key)) {
    throw new S3Error(
      "InvalidRequest",
      "This copy request is illegal because it is trying to copy an object to itself without changing the object's metadata, storage class, website redirect location or encryption attributes.",
    );
  }
  const description =
    directive === "COPY" ? { headers: source.headers, metadata: source.metadata } : readDescription(request);
  const copy = await copyBytes(storage, source, 0, source.size, source.checksum?.algorithm);
  const { id, size, etag } = copy;
  const checksum = fullObject(copy.checksum);
  const modified = wholeSeconds(context.now);
  try {
    const { bucket, key } = target(context);
    checkWriteConditions(request, key, bucket.find(key));
    bucket.put({ key, size, etag, modified, blobs: [{ id, size }], multipart: false, checksum, ...description });
  } catch (error) {
    storage.backend.removeBlobs([copy]);
    throw error;
  }
  return xmlReply("CopyObjectResult", copyResult(etag, modified));
}

export function copyResult(etag: string, modified: number): string {
  return tag("LastModified", new Date(modified).toISOString()) + tag("ETag", `"${etag}"`);
}

/** Copies a range of an object into a new blob. */
export async function copyBytes(
  storage: Storage,
  source: StoredObject,
  start: number,
  end: number,
  algorithm?: BodyChecksum["algorithm"],
): Promise<{ id: string; size: number; etag: string; checksum: BodyChecksum | undefined }> {
  const writer = storage.backend.createBlob();
  const md5 = createHash("md5");
  const sum = algorithm && createChecksum(algorithm);
  const body = storage.backend.read(source.blobs, start, end);
  const take = (chunk: Buffer): void | Promise<void> => {
    md5.update(chunk);
    sum?.update(chunk);
    return writer.write(chunk);
  };
  try {
    if (Buffer.isBuffer(body)) await take(body);
    else for (let chunk = await body.next(); chunk !== undefined; chunk = await body.next()) await take(chunk);
    const checksum = algorithm && sum && { algorithm, value: sum.digest() };
    return { id: await writer.finish(), size: end - start, etag: md5.digest("hex"), checksum };
  } catch (error) {
    await writer.discard();
    throw error;
  } finally {
    if (!Buffer.isBuffer(body)) body.close();
  }
}
