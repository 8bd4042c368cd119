/** Ranges of bytes: which are valid, which bytes of an object they name, and how HTTP writes them (RFC 9110, section 14). */
import type { ByteRange } from "../types.js";

/** @throws TypeError for a range that names no bytes of any object */
export function checkRange(range: ByteRange | undefined): void {
  if (range === undefined) return;
  const { offset, length } = range;
  if (!isWhole(offset, 0) || (length !== undefined && !isWhole(length, 1))) {
    throw new TypeError("range needs an offset of 0 or more and, when given, a length of 1 or more, in whole bytes");
  }
}

function isWhole(value: unknown, least: number): boolean {
  return Number.isSafeInteger(value) && (value as number) >= least;
}

/**
 * Returns the bytes `[start, end)` that a range names in an object of `size` bytes. Without a range they are all bytes;
 * beyond the end there are none, and `start` equals `end`.
 */
export function clipRange(range: ByteRange | undefined, size: number): { start: number; end: number } {
  if (range === undefined) return { start: 0, end: size };
  const { offset: start, length = Infinity } = range;
  return { start, end: Math.max(start, Math.min(size, start + length)) };
}

/** Formats the `Range` header of a request. */
export function rangeHeader({ offset, length }: ByteRange): string {
  return `bytes=${offset}-${length === undefined ? "" : offset + length - 1}`;
}

/** Formats the `Content-Range` header of an answer that holds the bytes `[start, end)` of `size`. */
export function contentRange(start: number, end: number, size: number): string {
  return `bytes ${start}-${end - 1}/${size}`;
}

/**
 * Tells whether an answer can hold just the bytes of a range, as far as its headers show: `Content-Range`, and the length
 * of its body. Fewer bytes than were asked for are right where the object ends.
 */
export function answersRange(range: ByteRange, header: string | undefined, bodyBytes: number | undefined): boolean {
  const { offset, length = Infinity } = range;
  const [, first, last] = /^bytes (\d+)-(\d+)\//.exec(header ?? "") ?? [];
  if (header === undefined) return bodyBytes === undefined || bodyBytes <= length;
  const bytes = Number(last) - Number(first) + 1;
  return Number(first) === offset && bytes <= length && (bodyBytes === undefined || bodyBytes === bytes);
}

/** Returns the size of the whole object that a `Content-Range` header tells; undefined where it tells none. */
export function sizeOfWhole(contentRange: string | undefined): number | undefined {
  const size = /\/(\d+)$/.exec(contentRange ?? "")?.[1];
  return size === undefined ? undefined : Number(size);
}
