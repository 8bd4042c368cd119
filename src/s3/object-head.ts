/** The headers of an object, as an answer shows them. */
import { OCTET_STREAM } from "../base/media-type.js";
import { sizeOfWhole } from "../base/range.js";
import { isBrowser } from "../base/runtime.js";
import { hasMarker, METADATA_NAMES } from "../entry/entry.js";
import type { ObjectHead } from "../types.js";
import type { S3Connection } from "./connection.js";
import { quotedEtag } from "./etag.js";
import { failure, type Purpose } from "./failure.js";
import { corsRule, metadataHeader } from "./header-names.js";
import type { Incoming } from "./transport.js";

/** The head of an object whose size may not be known yet. */
export interface AnsweredHead extends Omit<ObjectHead, "size"> {
  /** Undefined where a proxy sends chunks and tells no length: then it is known once all has been read. */
  size: number | undefined;
}

/**
 * Reads the head of an object.
 *
 * @throws BucketCacheError `ERR_CORS` where the CORS rule hides metadata of an entry; the answer is cancelled then
 */
export function readHead(connection: S3Connection, key: string, response: Incoming): AnsweredHead {
  const { clock, name: store } = connection;
  const metadata = response.metadata();
  const etag = response.header("etag");
  const hidden = hasMarker(response.header("cache-control")) ? hiddenHeaders(metadata, etag) : undefined;
  if (hidden !== undefined) {
    response.cancel();
    throw failure("ERR_CORS", `the answer of ${store} hides ${hidden}. ${corsRule()}`, { store, key });
  }
  checkEtag(etag, response, { store, key });
  return {
    size: sizeOfWhole(response.header("content-range")) ?? contentLength(response),
    etag: quotedEtag(etag),
    lastModified: new Date(response.header("last-modified") ?? NaN),
    contentType: response.header("content-type") ?? OCTET_STREAM,
    metadata,
    now: clock.known ? new Date(clock.now()) : undefined,
    versionId: response.header("x-amz-version-id"),
  };
}

/** Returns the ETag of an object that was written, as its answer tells. */
export function writtenEtag(response: Incoming, purpose: Purpose): string {
  const etag = response.header("etag");
  checkEtag(etag, response, purpose);
  return quotedEtag(etag);
}

/** @throws BucketCacheError `ERR_PROTOCOL` for an answer that no store has sent: a store names each object */
function checkEtag(etag: string | undefined, response: Incoming, purpose: Partial<Purpose>): void {
  // A page sees no ETag unless the bucket's CORS rule exposes it.
  if ((etag !== undefined && etag !== "") || isBrowser()) return;
  response.cancel();
  const message = `${purpose.store} answered ${response.status} without an ETag, as no S3 store does: check the endpoint`;
  throw failure("ERR_PROTOCOL", message, purpose);
}

/** Returns the announced length of a body in bytes. */
export function contentLength(response: Incoming): number | undefined {
  const announced = response.header("content-length");
  return announced === undefined ? undefined : Number(announced);
}

/** Returns the public form of a head, whose size is NaN while it is not known. */
export function publicHead(head: AnsweredHead): ObjectHead {
  return { ...head, size: head.size ?? NaN };
}

/** Names the headers of an entry that are hidden, for certain or perhaps. */
function hiddenHeaders(metadata: Record<string, string>, etag: string | undefined): string | undefined {
  if (metadata["entry"] === undefined) return "the metadata of the entry";
  // Stores send an ETag with every object. A page that sees none does not see all headers, and one may be there unseen.
  if (etag !== undefined || !isBrowser()) return undefined;
  const unseen = METADATA_NAMES.filter((name) => metadata[name] === undefined);
  return unseen.length === 0 ? undefined : `etag, and perhaps ${unseen.map(metadataHeader).join(" and ")}`;
}
