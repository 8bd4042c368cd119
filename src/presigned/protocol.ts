/**
 * The presign protocol, format 1: what a client without credentials asks of a handler that has them. Messages and limits
 * for both sides.
 */
import type { ErrorCode } from "../errors.js";

export const VERSION = 1;

/** A request body beyond this is refused unread. Bytes. */
export const MAX_REQUEST_BYTES = 262_144;

/** Requests in one batch, unless the handler says otherwise. */
export const MAX_BATCH = 256;

/** Parts of an upload, as S3 counts them. */
export const MAX_PARTS = 10_000;

interface WriteMembers {
  key: string;
  /** Seconds; absent: never expires. */
  ttl?: number;
  /** Default: `application/octet-stream`. */
  contentType?: string;
  /** Default: `bytes`. */
  codec?: string;
  /** Whether the body is gzip. Default: false. */
  compressed?: boolean;
  /** Base64 SHA-256 of function name and arguments. */
  keyHash?: string;
}

interface ConditionMembers {
  ifMatch?: string;
  ifNoneMatch?: "*";
}

export interface PutRequest extends WriteMembers, ConditionMembers {
  op: "put";
  /** Bytes of the body, exactly. */
  size: number;
  /** Base64 SHA-256 of the body. */
  sha256?: string;
}

export interface CreateRequest extends WriteMembers {
  op: "create";
  /** Bytes of the whole, where known: then no other total is completed. */
  size?: number;
}

export interface PartRequest {
  op: "part";
  key: string;
  uploadId: string;
  partNumber: number;
  size: number;
}

export interface CompleteRequest extends ConditionMembers {
  op: "complete";
  key: string;
  uploadId: string;
  /** How many there are, or which: only for checking, since the handler asks the store. */
  parts?: number | { partNumber: number; etag?: string }[];
}

export interface AbortRequest {
  op: "abort";
  key: string;
  uploadId: string;
}

export interface ListRequest {
  op: "list";
  /** The prefix. */
  key: string;
  cursor?: string;
}

/** One of a batch. */
export type PresignRequest =
  | { op: "get"; key: string; compressed?: true | undefined }
  | { op: "head"; key: string }
  | { op: "delete"; key: string; ifMatch?: string }
  | PutRequest
  | CreateRequest
  | PartRequest
  | CompleteRequest
  | AbortRequest
  | ListRequest;

/** A request to be sent to the store, exactly so. */
export interface GrantResult {
  method: string;
  url: string;
  headers: Record<string, string>;
  /** Unix seconds. */
  expiresAt: number;
}

export interface ListResult {
  /** `lastModified` in Unix seconds. */
  keys: { key: string; size: number; etag: string; lastModified: number }[];
  /** Absent on the last page. */
  cursor?: string;
}

export interface ErrorResult {
  error: { code: ErrorCode; message: string };
}

export type PresignResult = GrantResult | { uploadId: string } | { etag: string } | ListResult | object | ErrorResult;

/** What is not the protocol. The message is for the other side. */
export class Malformed extends Error {}

/**
 * The results of a batch of so many requests, and the handler's time.
 *
 * @throws Malformed
 */
export function parseResults(json: unknown, count: number): { now: number; results: PresignResult[] } {
  const { v, now, results } = (json ?? {}) as { v?: unknown; now?: unknown; results?: unknown };
  if (v !== VERSION) throw new Malformed(`does not answer in version ${VERSION} of its protocol`);
  if (typeof now !== "number" || !Array.isArray(results) || results.length !== count) {
    throw new Malformed(`does not answer with ${count} results`);
  }
  return { now, results: results as PresignResult[] };
}
