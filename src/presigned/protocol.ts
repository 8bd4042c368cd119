/**
 * The presign protocol, format 1: the messages between a client without credentials and a handler that has them, with the
 * limits that both sides keep.
 */
import type { ErrorCode } from "../errors.js";

export const VERSION = 1;

/** Size of the largest request body. A larger one is refused unread. */
export const MAX_REQUEST_BYTES = 262_144;

/** Number of requests in one batch, unless the handler says otherwise. */
export const MAX_BATCH = 256;

interface WriteMembers {
  key: string;
  /** Seconds. Absent: the entry never expires. */
  ttl?: number;
  /**
   * Content type of the body.
   *
   * @default "application/octet-stream"
   */
  contentType?: string;
  /**
   * Name of the codec that reads the body.
   *
   * @default "bytes"
   */
  codec?: string;
  /**
   * Whether the body is gzip.
   *
   * @default false
   */
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
  /** Exact size of the body in bytes. */
  size: number;
  /** Base64 SHA-256 of the body. */
  sha256?: string;
}

export interface CreateRequest extends WriteMembers {
  op: "create";
  /** Bytes of the whole, where known. An upload with another total is then not completed. */
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
  /** Number of the parts, or a list of them. It is only checked: the handler asks the store which parts there are. */
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

/** One request of a batch. */
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

/** A request that the client sends to the store exactly as it stands. */
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

/** Thrown for a message that is not part of the protocol. Its text is for the other side. */
export class Malformed extends Error {}

/**
 * Reads the answer to a batch of `count` requests: their results, and the handler's time in Unix seconds.
 *
 * @throws Malformed for any other answer
 */
export function parseResults(json: unknown, count: number): { now: number; results: PresignResult[] } {
  const { v, now, results } = (json ?? {}) as { v?: unknown; now?: unknown; results?: unknown };
  if (v !== VERSION) throw new Malformed(`does not answer in version ${VERSION} of its protocol`);
  if (typeof now !== "number" || !Array.isArray(results) || results.length !== count) {
    throw new Malformed(`does not answer with ${count} results`);
  }
  return { now, results: results as PresignResult[] };
}
