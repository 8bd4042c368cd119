import { createHash } from "node:crypto";
import { receiveBody, receiveSmallBody } from "./body.js";
import { combineCrc, createChecksum, isCrc } from "./checksums.js";
import { checkCopyConditions, checkWriteConditions } from "./conditions.js";
import { checksumHeaders, readDescription, refuseUnsupported, uploadChecksum } from "./description.js";
import { S3Error } from "./errors.js";
import { copyBytes, copyResult, copySource, MAX_LONG_XML, MAX_OBJECT, target } from "./objects.js";
import { emptyReply, xmlReply, type Context, type Reply } from "./reply.js";
import type { S3Request } from "./request.js";
import { randomId, wholeSeconds, type Bucket, type OpenUpload, type Part, type StoredObject } from "./storage.js";
import { compareKeys } from "./sorted-keys.js";
import { childrenOf, parseXml, tag, textOf } from "./xml.js";

const MAX_PARTS = 10_000;
const MIN_PART = 5 * 1024 * 1024;

export function createUpload(context: Context): Reply {
  const { request } = context;
  const { bucket, key } = target(context);
  refuseUnsupported(request);
  const id = randomId();
  const checksum = uploadChecksum(request);
  bucket.createUpload({ id, key, initiated: wholeSeconds(context.now), checksum, ...readDescription(request) });
  const headers: Record<string, string> = {};
  if (checksum !== undefined) {
    headers["x-amz-checksum-algorithm"] = checksum.algorithm.toUpperCase();
    headers["x-amz-checksum-type"] = checksum.type;
  }
  return xmlReply(
    "InitiateMultipartUploadResult",
    tag("Bucket", bucket.name) + tag("Key", key) + tag("UploadId", id),
    headers,
  );
}

function openUpload(context: Context): { bucket: Bucket; key: string; open: OpenUpload } {
  const { bucket, key } = target(context);
  return { bucket, key, open: bucket.upload(context.request.query("uploadId") ?? "", key) };
}

function partNumber(request: S3Request): number {
  const text = request.query("partNumber") ?? "";
  const number = Number(text);
  if (!/^\d{1,5}$/.test(text) || number < 1 || number > MAX_PARTS) {
    throw new S3Error("InvalidArgument", "Part number must be an integer between 1 and 10000, inclusive", {
      ArgumentName: "partNumber",
      ArgumentValue: text,
    });
  }
  return number;
}

export async function uploadPart(context: Context): Promise<Reply> {
  const { request, storage } = context;
  const { checksum: wanted } = openUpload(context).open.upload;
  const number = partNumber(request);
  const writer = storage.backend.createBlob();
  try {
    const body = await receiveBody(request, (chunk) => writer.write(chunk), {
      maxBytes: MAX_OBJECT,
      algorithm: wanted?.algorithm,
    });
    if (wanted !== undefined && body.checksum !== undefined && body.checksum.algorithm !== wanted.algorithm) {
      throw new S3Error(
        "InvalidRequest",
        `Checksum Type mismatch occurred, expected checksum Type: ${wanted.algorithm}, actual checksum Type: ${body.checksum.algorithm}`,
      );
    }
    const id = await writer.finish();
    // The upload is looked up again: it may have been completed or aborted while the body came in.
    const { bucket, open } = openUpload(context);
    const { size, md5: etag, checksum } = body;
    bucket.putPart(open, { number, id, size, etag, modified: wholeSeconds(context.now), checksum });
    const headers: Record<string, string> = { etag: `"${etag}"` };
    if (checksum !== undefined) headers[`x-amz-checksum-${checksum.algorithm}`] = checksum.value;
    return emptyReply(200, headers);
  } catch (error) {
    await writer.discard();
    throw error;
  }
}

export async function uploadPartCopy(context: Context): Promise<Reply> {
  const { request, storage } = context;
  const { checksum: wanted } = openUpload(context).open.upload;
  const number = partNumber(request);
  const source = copySource(request, storage);
  checkCopyConditions(request, source);
  const range = request.header("x-amz-copy-source-range");
  const [, first, last] = /^bytes=(\d+)-(\d+)$/.exec(range ?? "") ?? [];
  const start = Number(first ?? 0);
  const end = last === undefined ? source.size : Number(last) + 1;
  if ((range !== undefined && first === undefined) || start > end || end > source.size) {
    throw new S3Error("InvalidArgument", "The x-amz-copy-source-range value must be of the form bytes=first-last", {
      ArgumentName: "x-amz-copy-source-range",
      ArgumentValue: range ?? "",
    });
  }
  const copy = await copyBytes(storage, source, start, end, wanted?.algorithm);
  const modified = wholeSeconds(context.now);
  try {
    const { bucket, open } = openUpload(context);
    bucket.putPart(open, { number, modified, ...copy });
  } catch (error) {
    storage.backend.removeBlobs([copy]);
    throw error;
  }
  return xmlReply("CopyPartResult", copyResult(copy.etag, modified));
}

export function listParts(context: Context): Reply {
  const { request } = context;
  const { bucket, key, open } = openUpload(context);
  const maximum = request.integer("max-parts", 1000, 1000);
  const marker = request.integer("part-number-marker", 0, MAX_PARTS);
  const rest = [...open.parts.values()].filter(({ number }) => number > marker).sort((a, b) => a.number - b.number);
  const page = rest.slice(0, maximum);
  const { checksum } = open.upload;
  return xmlReply(
    "ListPartsResult",
    tag("Bucket", bucket.name) +
      tag("Key", key) +
      tag("UploadId", open.upload.id) +
      tag("PartNumberMarker", marker) +
      tag("NextPartNumberMarker", page.at(-1)?.number ?? 0) +
      tag("MaxParts", maximum) +
      tag("IsTruncated", rest.length > page.length) +
      tag("ChecksumAlgorithm", checksum?.algorithm.toUpperCase()) +
      tag("ChecksumType", checksum?.type) +
      page.map(partXml).join(""),
  );
}

function partXml(part: Part): string {
  const { checksum } = part;
  return `<Part>${
    tag("PartNumber", part.number) +
    tag("LastModified", new Date(part.modified).toISOString()) +
    tag("ETag", `"${part.etag}"`) +
    tag("Size", part.size) +
    (checksum === undefined ? "" : tag(`Checksum${checksum.algorithm.toUpperCase()}`, checksum.value))
  }</Part>`;
}

export async function completeUpload(context: Context): Promise<Reply> {
  const { request } = context;
  const { bucket, key } = openUpload(context);
  const body = await receiveSmallBody(request, { maxBytes: MAX_LONG_XML, checksums: false });
  // The upload is looked up again: another request may have completed it meanwhile. From here on nothing waits.
  const { open } = openUpload(context);
  const parts = chosenParts(open, body);
  const size = parts.reduce((sum, part) => sum + part.size, 0);
  const declaredSize = request.header("x-amz-mp-object-size");
  if (declaredSize !== undefined && declaredSize !== String(size)) {
    throw new S3Error("InvalidRequest", "The provided 'x-amz-mp-object-size' header does not match what was computed.");
  }
  const checksum = wholeChecksum(request, open, parts);
  checkWriteConditions(request, key, bucket.find(key));
  const md5 = createHash("md5");
  for (const { etag } of parts) md5.update(etag, "hex");
  const etag = `${md5.digest("hex")}-${parts.length}`;
  const { headers, metadata } = open.upload;
  const blobs = parts.map(({ id, size: partSize }) => ({ id, size: partSize }));
  const modified = wholeSeconds(context.now);
  bucket.complete(open, { key, size, etag, modified, blobs, multipart: true, checksum, headers, metadata });
  return xmlReply(
    "CompleteMultipartUploadResult",
    tag("Location", `http://${request.host}${request.canonicalPath}`) +
      tag("Bucket", bucket.name) +
      tag("Key", key) +
      tag("ETag", `"${etag}"`) +
      (checksum === undefined
        ? ""
        : tag(`Checksum${checksum.algorithm.toUpperCase()}`, checksum.value) + tag("ChecksumType", checksum.type)),
    checksumHeaders(checksum),
  );
}

/** Returns the parts that the request names, each one verified. */
function chosenParts(open: OpenUpload, body: Buffer): Part[] {
  const root = parseXml(body);
  const elements = childrenOf(root, "Part");
  if (root.name !== "CompleteMultipartUpload" || elements.length === 0 || elements.length > MAX_PARTS) {
    throw new S3Error("MalformedXML");
  }
  const parts: Part[] = [];
  let previous = 0;
  for (const element of elements) {
    const text = textOf(element, "PartNumber")?.trim() ?? "";
    const given = textOf(element, "ETag")
      ?.trim()
      .replace(/^"(.*)"$/, "$1");
    if (!/^\d{1,5}$/.test(text) || given === undefined) throw new S3Error("MalformedXML");
    const number = Number(text);
    if (number <= previous) throw new S3Error("InvalidPartOrder");
    previous = number;
    const part = open.parts.get(number);
    const { algorithm, value } = part?.checksum ?? {};
    const givenChecksum = algorithm && textOf(element, `Checksum${algorithm.toUpperCase()}`);
    if (part === undefined || part.etag !== given || (givenChecksum !== undefined && givenChecksum !== value)) {
      throw new S3Error("InvalidPart", undefined, {
        UploadId: open.upload.id,
        PartNumber: number,
        ETag: given,
      });
    }
    parts.push(part);
  }
  const small = parts.slice(0, -1).find(({ size }) => size < MIN_PART);
  if (small !== undefined) {
    throw new S3Error("EntityTooSmall", undefined, {
      ProposedSize: small.size,
      MinSizeAllowed: MIN_PART,
      PartNumber: small.number,
      ETag: small.etag,
    });
  }
  return parts;
}

/** Computes the checksum of the whole from those of the parts, and compares it with the one that the request expects. */
function wholeChecksum(request: S3Request, open: OpenUpload, parts: readonly Part[]): StoredObject["checksum"] {
  const { checksum } = open.upload;
  if (checksum === undefined) return undefined;
  const { algorithm, type } = checksum;
  const sums = parts.map(({ checksum: sum, size }) => ({ value: sum?.value ?? "", size }));
  let value: string;
  if (type === "FULL_OBJECT" && isCrc(algorithm)) {
    value = combineCrc(algorithm, sums);
  } else {
    const whole = createChecksum(algorithm);
    for (const sum of sums) whole.update(Buffer.from(sum.value, "base64"));
    value = `${whole.digest()}-${parts.length}`;
  }
  const expected = request.header(`x-amz-checksum-${algorithm}`);
  if (expected !== undefined && expected !== value && expected !== value.replace(/-\d+$/, "")) {
    throw new S3Error(
      "BadDigest",
      `The ${algorithm.toUpperCase()} you specified did not match the calculated checksum.`,
    );
  }
  return { algorithm, type, value };
}

export function abortUpload(context: Context): Reply {
  const { bucket, open } = openUpload(context);
  bucket.abort(open);
  return emptyReply(204);
}

export function listUploads({ request, storage }: Context): Reply {
  const bucket = storage.bucket(request.bucket ?? "");
  const prefix = request.query("prefix") ?? "";
  const keyMarker = request.query("key-marker") ?? "";
  const idMarker = request.query("upload-id-marker") ?? "";
  const maximum = request.integer("max-uploads", 1000, 1000);
  const rest = [...bucket.uploads.values()]
    .map(({ upload }) => upload)
    .filter(({ key, id }) => key.startsWith(prefix) && isAfter(key, id, keyMarker, idMarker))
    .sort((a, b) => compareKeys(a.key, b.key) || (a.id < b.id ? -1 : 1));
  const page = rest.slice(0, maximum);
  const truncated = rest.length > page.length;
  return xmlReply(
    "ListMultipartUploadsResult",
    tag("Bucket", bucket.name) +
      tag("KeyMarker", keyMarker) +
      tag("UploadIdMarker", idMarker) +
      tag("NextKeyMarker", truncated ? page.at(-1)?.key : undefined) +
      tag("NextUploadIdMarker", truncated ? page.at(-1)?.id : undefined) +
      tag("Prefix", prefix) +
      tag("MaxUploads", maximum) +
      tag("IsTruncated", truncated) +
      page
        .map(
          ({ key, id, initiated }) =>
            `<Upload>${tag("Key", key) + tag("UploadId", id) + tag("Initiated", new Date(initiated).toISOString())}<StorageClass>STANDARD</StorageClass></Upload>`,
        )
        .join(""),
  );
}

function isAfter(key: string, id: string, keyMarker: string, idMarker: string): boolean {
  if (keyMarker === "") return true;
  const order = compareKeys(key, keyMarker);
  return order > 0 || (order === 0 && idMarker !== "" && id > idMarker);
}
