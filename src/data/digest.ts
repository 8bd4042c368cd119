import SparkMD5 from "spark-md5";
import { toBase64, utf8 } from "../base/bytes.js";

const ASCII = /^[\0-\x7f]*$/;

/**
 * The MD5 of a text's UTF-8 bytes, or of bytes, in lower-case hexadecimal. WebCrypto has no MD5, and node:crypto refuses
 * it under FIPS. The digest only spreads keys: a SHA-256 beside the entry tells whose entry it is, so that a collision is
 * a miss.
 */
export function md5(data: string | Uint8Array): string {
  // The library's own conversion to UTF-8 throws at a lone surrogate, and is slower for text that is not ASCII.
  if (typeof data === "string" && ASCII.test(data)) return SparkMD5.hashBinary(data);
  const bytes = typeof data === "string" ? utf8(data) : data;
  const isWhole = bytes.byteLength === bytes.buffer.byteLength && bytes.buffer instanceof ArrayBuffer;
  return SparkMD5.ArrayBuffer.hash(isWhole ? (bytes.buffer as ArrayBuffer) : new Uint8Array(bytes).buffer);
}

/** Returns the MD5 of bytes as the header `Content-MD5` has it (RFC 1864). */
export function md5Base64(data: Uint8Array): string {
  return toBase64(Uint8Array.from(md5(data).match(/../g) ?? [], (hex) => Number.parseInt(hex, 16)));
}
