import { concat, utf8 } from "../base/bytes.js";
import type { Bytes } from "../types.js";

/**
 * The format of a file: the body, the head of the object as JSON, the length of that JSON in four bytes, and eight bytes
 * that mark the format. The head stands at the end because size and hash of a stream are known only there, and because a
 * file that was cut off then lacks it.
 */

export interface FileHead {
  key: string;
  size: number;
  etag: string;
  /** Unix milliseconds. */
  modified: number;
  contentType: string;
  cacheControl?: string | undefined;
  metadata: Record<string, string>;
}

const MAGIC = "bcfile1\n";
/** Size of the fixed end of the footer: the length of the JSON, and the mark. */
export const FOOTER_SIZE = 12;
/** S3 allows 2 KiB of metadata and 1 KiB of key. A file that claims more is not one of ours. */
const MAX_FOOTER_BYTES = 65_536;

/** Formats the footer, which follows the body. */
export function footer(head: FileHead): Bytes {
  const json = utf8(JSON.stringify(head));
  const length = new Uint8Array(4);
  new DataView(length.buffer).setUint32(0, json.byteLength);
  return concat([json, length, utf8(MAGIC)]);
}

/** Returns the size of the footer, read from the last twelve bytes of a file; undefined for a foreign file. */
export function footerSize(last: Uint8Array): number | undefined {
  if (last.byteLength < FOOTER_SIZE) return undefined;
  const end = last.subarray(-FOOTER_SIZE);
  if (String.fromCharCode(...end.subarray(4)) !== MAGIC) return undefined;
  const size = new DataView(end.buffer, end.byteOffset).getUint32(0) + FOOTER_SIZE;
  return size > MAX_FOOTER_BYTES ? undefined : size;
}

/**
 * Reads the head of the object under this key from the last bytes of a file of `fileSize` bytes; undefined for a foreign
 * file, and for one that was cut off.
 */
export function parseFooter(last: Uint8Array, fileSize: number, key: string | undefined): FileHead | undefined {
  const size = footerSize(last);
  if (size === undefined || size > last.byteLength) return undefined;
  let head: FileHead;
  try {
    head = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(last.subarray(-size, -FOOTER_SIZE))) as FileHead;
  } catch {
    return undefined;
  }
  const whole =
    typeof head === "object" &&
    head !== null &&
    head.size + size === fileSize &&
    [head.key, head.etag, head.contentType].every((text) => typeof text === "string") &&
    typeof head.modified === "number" &&
    typeof head.metadata === "object" &&
    head.metadata !== null &&
    Object.values(head.metadata).every((text) => typeof text === "string");
  return whole && (key === undefined || head.key === key) ? head : undefined;
}
