/** What is asked of one object, and how each operation becomes a request to be signed. */
import { cacheControl, headerText } from "../entry/entry.js";
import { metadataHeader } from "./header-names.js";
import type { ObjectHead } from "../types.js";
import type { SignableRequest, SignedRequest, UploadedPart, WriteCondition } from "../types.js";

/** What a write stores beside the bytes. */
export interface WriteFields {
  contentType: string;
  metadata: Record<string, string>;
  cacheControl?: string | undefined;
  /** Bytes of the whole object, where known. */
  size?: number | undefined;
}

/** A write in the words of the presign protocol, for a handler that makes the metadata itself. */
export interface RequestedEntry {
  codec?: string;
  compressed?: boolean;
  /** Base64 SHA-256 of function name and arguments. */
  keyHash?: string;
  /** Seconds; absent: never expires. */
  ttl?: number;
}

export interface PutOperation extends WriteFields, WriteCondition {
  op: "put";
  key: string;
  /** Takes the place of `metadata` where a presign handler makes that. */
  requested?: RequestedEntry | undefined;
  /** Base64 SHA-256 of the body. */
  sha256?: string | undefined;
}

export interface DeleteOperation {
  op: "delete";
  key: string;
  ifMatch?: string | undefined;
  versionId?: string | undefined;
}

export interface ReadOperation {
  op: "get" | "head";
  key: string;
  /** get: the answer says that it is gzip, which the stored object does not. */
  compressed?: true | undefined;
}

/** `Range` and `If-None-Match` of a read are sent unsigned, so that one grant serves them all. */
export type Operation = ReadOperation | PutOperation | DeleteOperation;

/** One multipart upload, whoever signs it. */
export interface MultipartUpload {
  /** The id of the new upload. */
  create(signal: AbortSignal | undefined): Promise<string>;
  signPart(uploadId: string, partNumber: number, size: number, renew: boolean): Promise<SignedRequest>;
  complete(
    uploadId: string,
    parts: readonly UploadedPart[],
    condition: WriteCondition,
    signal: AbortSignal | undefined,
  ): Promise<{ etag: string }>;
  abort(uploadId: string): Promise<void>;
}

/** A read whose answer is plain for browsers and `curl`, which know nothing of entries: they undo gzip that it names. */
export function plainRead(key: string, head: ObjectHead | undefined): ReadOperation & { op: "get" } {
  return { op: "get", key, compressed: head?.metadata["compressed"] === "true" || undefined };
}

/** What is asked of a write's target, without what is not. */
export function conditionOf(of: { ifMatch?: string | undefined; ifNoneMatch?: "*" | undefined }): WriteCondition {
  const { ifMatch, ifNoneMatch } = of;
  return { ...(ifMatch !== undefined && { ifMatch }), ...(ifNoneMatch !== undefined && { ifNoneMatch }) };
}

export function conditionHeaders(condition: {
  ifMatch?: string | undefined;
  ifNoneMatch?: string | undefined;
}): Record<string, string> {
  return {
    ...(condition.ifMatch !== undefined && { "if-match": condition.ifMatch }),
    ...(condition.ifNoneMatch !== undefined && { "if-none-match": condition.ifNoneMatch }),
  };
}

/** The headers that give an object its type and metadata: of a PUT, and of the request that creates an upload. */
export function fieldHeaders(fields: WriteFields): Record<string, string> {
  const headers: Record<string, string> = { "content-type": fields.contentType };
  // The marker says that there is metadata of ours; an object without it must not carry the marker.
  const control = fields.metadata["entry"] === undefined ? fields.cacheControl : cacheControl(fields.cacheControl);
  if (control !== undefined) headers["cache-control"] = control;
  for (const [name, value] of Object.entries(fields.metadata)) headers[metadataHeader(name)] = value;
  for (const name in headers) headerText(headers[name]!, name);
  return headers;
}

export function toRequest(operation: Operation): SignableRequest {
  const { key } = operation;
  // An empty key would be the bucket itself.
  if (typeof key !== "string" || key === "") throw new TypeError("key must be a non-empty string");
  switch (operation.op) {
    case "get":
      // Whatever Content-Encoding somebody gave the object, the bytes arrive as they are stored.
      return { method: "GET", key, query: { "response-content-encoding": operation.compressed ? "gzip" : "identity" } };
    case "head":
      return { method: "HEAD", key };
    case "put":
      return {
        method: "PUT",
        key,
        headers: {
          ...fieldHeaders(operation),
          ...(operation.size !== undefined && { "content-length": String(operation.size) }),
          ...(operation.sha256 !== undefined && { "x-amz-checksum-sha256": operation.sha256 }),
          ...conditionHeaders(operation),
        },
      };
    case "delete":
      return {
        method: "DELETE",
        key,
        ...(operation.versionId !== undefined && { query: { versionId: operation.versionId } }),
        headers: conditionHeaders(operation),
      };
  }
}

export function partRequest(key: string, uploadId: string, partNumber: number, size: number): SignableRequest {
  return {
    method: "PUT",
    key,
    query: { partNumber: String(partNumber), uploadId },
    headers: { "content-length": String(size) },
  };
}
