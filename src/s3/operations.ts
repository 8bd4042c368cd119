/** Operations on one object, and the request that each of them becomes before it is signed. */
import { cacheControl, headerText } from "../entry/entry.js";
import type { ConditionForm } from "./capabilities.js";
import { quotedEtag, unquotedEtag } from "./etag.js";
import { metadataHeader } from "./header-names.js";
import type { ObjectHead, SignableRequest, SignedRequest, UploadedPart, WriteCondition } from "../types.js";

/** Fields that a write stores beside the bytes. */
export interface WriteFields {
  contentType: string;
  metadata: Record<string, string>;
  cacheControl?: string | undefined;
  /** Bytes of the whole object, where they are known. */
  size?: number | undefined;
}

/** An entry in the words of the presign protocol, for a handler that makes the metadata itself. */
export interface RequestedEntry {
  codec?: string;
  compressed?: boolean;
  /** Base64 SHA-256 of function name and arguments. */
  keyHash?: string;
  /** Seconds. An entry without it never expires. */
  ttl?: number;
}

export interface PutOperation extends WriteFields, WriteCondition {
  op: "put";
  key: string;
  /** Takes the place of `metadata` where a presign handler makes the metadata. */
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
  /** For `get`: asks for an answer that says that it is gzip, which the stored object does not. */
  compressed?: true | undefined;
  /** For `get`: leaves the headers of the answer as they are. For transports that decode nothing, and for some stores. */
  asIs?: true | undefined;
}

/** An operation. `Range` and `If-None-Match` of a read are no part of it: they are sent unsigned, so that one grant serves all reads. */
export type Operation = ReadOperation | PutOperation | DeleteOperation;

/** One multipart upload: the requests of it, by whichever side signs them. */
export interface MultipartUpload {
  /** Begins the upload, and resolves to its id. */
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

/**
 * Returns a read for browsers and `curl`, which know nothing of entries: its answer names the gzip of a compressed entry,
 * so that they undo it.
 */
export function plainRead(key: string, head: ObjectHead | undefined): ReadOperation & { op: "get" } {
  return { op: "get", key, compressed: head?.metadata["compressed"] === "true" || undefined };
}

/** Returns the condition among other fields, without members that are undefined. */
export function conditionOf(fields: { ifMatch?: string | undefined; ifNoneMatch?: "*" | undefined }): WriteCondition {
  const { ifMatch, ifNoneMatch } = fields;
  return { ...(ifMatch !== undefined && { ifMatch }), ...(ifNoneMatch !== undefined && { ifNoneMatch }) };
}

/** Returns a condition as a store takes it; `"checked"` leaves it out, since something else takes its place. */
export function conditionIn(form: ConditionForm, { ifMatch, ifNoneMatch }: WriteCondition): WriteCondition {
  if (form === "checked") return {};
  const etag = ifMatch === undefined || ifMatch === "*" ? ifMatch : inForm(form, ifMatch);
  return conditionOf({ ifMatch: etag, ifNoneMatch });
}

function inForm(form: "quoted" | "unquoted", etag: string): string {
  return form === "quoted" ? quotedEtag(etag) : unquotedEtag(etag);
}

/** Returns the headers of a condition (RFC 9110, section 13). */
export function conditionHeaders(condition: {
  ifMatch?: string | undefined;
  ifNoneMatch?: string | undefined;
}): Record<string, string> {
  return {
    ...(condition.ifMatch !== undefined && { "if-match": condition.ifMatch }),
    ...(condition.ifNoneMatch !== undefined && { "if-none-match": condition.ifNoneMatch }),
  };
}

/**
 * Returns the headers that give an object its type and metadata: those of a PUT, and of the request that begins an upload.
 *
 * @throws TypeError for text that cannot stand in a header
 */
export function fieldHeaders(fields: WriteFields): Record<string, string> {
  const headers: Record<string, string> = { "content-type": fields.contentType };
  // The marker says that the object has metadata of ours. An object without such metadata must not carry it.
  const control = fields.metadata["entry"] === undefined ? fields.cacheControl : cacheControl(fields.cacheControl);
  if (control !== undefined) headers["cache-control"] = control;
  for (const [name, value] of Object.entries(fields.metadata)) headers[metadataHeader(name)] = value;
  for (const name in headers) headerText(headers[name]!, name);
  return headers;
}

/** @throws TypeError for a key that is none */
export function toRequest(operation: Operation): SignableRequest {
  const { key } = operation;
  // An empty key would be the bucket itself.
  if (typeof key !== "string" || key === "") throw new TypeError("key must be a non-empty string");
  switch (operation.op) {
    case "get":
      // With `identity` the bytes arrive as they are stored, also where somebody gave the object a Content-Encoding.
      if (operation.asIs === true) return { method: "GET", key };
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
