import { S3Error } from "./errors.js";
import type { S3Request } from "./request.js";
import type { StoredObject } from "./storage.js";

/** Tells whether a list of entity tags, or `*`, holds this one. Weak tags count, and quotes may be missing, as on S3. */
export function matchesEtag(list: string, etag: string): boolean {
  return list.split(",").some((item) => {
    const text = item.trim().replace(/^W\//, "");
    return text === "*" || text.replace(/^"(.*)"$/, "$1") === etag;
  });
}

/**
 * Checks the conditions of a write. The write itself must happen in the same turn of the event loop, so that one of many
 * concurrent writers wins.
 */
export function checkWriteConditions(request: S3Request, key: string, existing: StoredObject | undefined): void {
  const ifMatch = request.header("if-match");
  if (ifMatch !== undefined) {
    if (existing === undefined) throw new S3Error("NoSuchKey", undefined, { Key: key });
    if (!matchesEtag(ifMatch, existing.etag)) throw failed("If-Match");
  }
  const ifNoneMatch = request.header("if-none-match");
  if (ifNoneMatch !== undefined) {
    if (ifNoneMatch.trim() !== "*") {
      throw new S3Error("NotImplemented", undefined, { Header: "If-None-Match" });
    }
    if (existing !== undefined) throw failed("If-None-Match");
  }
}

/** Checks the conditions of a read, in RFC 9110's order: a tag that was compared makes the date beside it irrelevant. */
export function checkReadConditions(request: S3Request, object: StoredObject): "fresh" | "not-modified" {
  const ifMatch = request.header("if-match");
  if (ifMatch !== undefined) {
    if (!matchesEtag(ifMatch, object.etag)) throw failed("If-Match");
  } else if (object.modified > httpDate(request.header("if-unmodified-since"), Infinity)) {
    throw failed("If-Unmodified-Since");
  }
  const ifNoneMatch = request.header("if-none-match");
  if (ifNoneMatch !== undefined) return matchesEtag(ifNoneMatch, object.etag) ? "not-modified" : "fresh";
  return object.modified <= httpDate(request.header("if-modified-since"), -Infinity) ? "not-modified" : "fresh";
}

/** Checks the conditions on the source of a copy: a 304 of a read is a 412 here. */
export function checkCopyConditions(request: S3Request, source: StoredObject): void {
  const header = (name: string): string | undefined => request.header(`x-amz-copy-source-${name}`);
  const ifMatch = header("if-match");
  const ifNoneMatch = header("if-none-match");
  if (ifMatch !== undefined) {
    if (!matchesEtag(ifMatch, source.etag)) throw failed("x-amz-copy-source-If-Match");
  } else if (source.modified > httpDate(header("if-unmodified-since"), Infinity)) {
    throw failed("x-amz-copy-source-If-Unmodified-Since");
  }
  if (ifNoneMatch !== undefined) {
    if (matchesEtag(ifNoneMatch, source.etag)) throw failed("x-amz-copy-source-If-None-Match");
  } else if (source.modified <= httpDate(header("if-modified-since"), -Infinity)) {
    throw failed("x-amz-copy-source-If-Modified-Since");
  }
}

function failed(condition: string): S3Error {
  return new S3Error("PreconditionFailed", undefined, { Condition: condition });
}

/** Parses a date. One that cannot be read counts as none. */
function httpDate(text: string | undefined, fallback: number): number {
  const time = text === undefined ? NaN : Date.parse(text);
  return Number.isNaN(time) ? fallback : time;
}

/**
 * Returns the range that a read asks for, end exclusive; undefined for all of the object. Several ranges, and ranges of
 * other units than bytes, give the whole object, as on S3.
 *
 * @throws S3Error InvalidRange when no byte of it exists.
 */
export function parseRange(header: string | undefined, size: number): { start: number; end: number } | undefined {
  const match = /^bytes=(\d*)-(\d*)$/.exec(header?.trim() ?? "");
  if (match === null) return undefined;
  const [, first = "", last = ""] = match;
  if (first === "" && last === "") return undefined;
  const start = first === "" ? Math.max(size - Number(last), 0) : Number(first);
  const end = first === "" || last === "" ? size : Math.min(Number(last) + 1, size);
  if (first !== "" && last !== "" && Number(last) < Number(first)) return undefined;
  if (start >= size || start >= end) {
    throw new S3Error(
      "InvalidRange",
      undefined,
      { RangeRequested: header ?? "", ActualObjectSize: size },
      { "content-range": `bytes */${size}` },
    );
  }
  return { start, end };
}
