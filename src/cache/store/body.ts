import { bodyStream } from "../../base/body.js";
import { OCTET_STREAM } from "../../base/media-type.js";
import type { Body, Bytes, SetOptions } from "../../types.js";

/** A body on its way into an entry. */
export interface Upload {
  /** A Blob has a length and can be read again, which a stream cannot. The store makes use of both. */
  body: Blob | ReadableStream<Bytes>;
  contentType: string;
}

/** Tells whether a value is a body. Looks at its methods, because bodies come from other realms and polyfills too. */
export function isBody(value: unknown): value is Body {
  if (typeof value !== "object" || value === null) return false;
  const body = value as { getReader?: unknown; stream?: unknown; arrayBuffer?: unknown };
  return (
    typeof body.getReader === "function" ||
    typeof body.stream === "function" ||
    (typeof body.arrayBuffer === "function" && "body" in value) ||
    Symbol.asyncIterator in value
  );
}

/** @throws TypeError for an error page, and for a body that was read before. */
export function toUpload(body: Body, options: Pick<SetOptions, "contentType">): Upload {
  if (isResponse(body) && !body.ok) {
    body.body?.cancel().catch(() => undefined);
    throw new TypeError(
      `the Response has status ${body.status}: an error page is not worth caching; check response.ok`,
    );
  }
  const declared = isResponse(body) ? body.headers.get("content-type") : isBlob(body) ? body.type : "";
  return {
    body: isBlob(body) ? body : bodyStream(body),
    contentType: options.contentType ?? (declared || OCTET_STREAM),
  };
}

function isResponse(body: Body): body is Response {
  return "headers" in body && "status" in body && "body" in body;
}

function isBlob(body: Body): body is Blob {
  return "stream" in body && "size" in body && !("getReader" in body);
}

/** Closes a body that nobody came to read, since its source may hold a file or a connection. */
export function closeUnread(body: Blob | ReadableStream<Bytes>, reason: unknown): void {
  if ("getReader" in body && !body.locked) body.cancel(reason).catch(() => undefined);
}
