import type { S3Request } from "./request.js";
import type { BlobReader, Storage } from "./storage.js";
import { xmlDocument } from "./xml.js";

/** The request and the state that every operation works on. */
export interface Context {
  request: S3Request;
  storage: Storage;
  region: string;
  /** Unix milliseconds. */
  now: number;
}

/** An answer, before the headers that all answers share. */
export interface Reply {
  status: number;
  headers: Record<string, string>;
  body?: string | Buffer | BlobReader;
}

export function xmlReply(root: string, inner: string, headers: Record<string, string> = {}): Reply {
  return {
    status: 200,
    headers: { "content-type": "application/xml", ...headers },
    body: xmlDocument(root, inner),
  };
}

export function emptyReply(status: number, headers: Record<string, string> = {}): Reply {
  return { status, headers };
}
