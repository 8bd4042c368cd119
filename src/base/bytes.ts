import type { Bytes } from "../types.js";

let encoder: TextEncoder | undefined;

/** Returns the UTF-8 bytes of a text. */
export function utf8(text: string): Bytes {
  return (encoder ??= new TextEncoder()).encode(text);
}

/** Returns the same bytes as a plain `Uint8Array` over a plain `ArrayBuffer`: no `Buffer`, no shared memory. Copies only where it must. */
export function toBytes(chunk: Uint8Array): Bytes {
  if (chunk.constructor === Uint8Array && chunk.buffer instanceof ArrayBuffer) return chunk as Bytes;
  return chunk.buffer instanceof ArrayBuffer
    ? new Uint8Array(chunk.buffer, chunk.byteOffset, chunk.byteLength)
    : new Uint8Array(chunk);
}

/** Joins chunks into one array, which is always a copy that owns its whole buffer. */
export function concat(chunks: readonly Uint8Array[]): Bytes {
  let size = 0;
  for (const chunk of chunks) size += chunk.byteLength;
  const all = new Uint8Array(size);
  let offset = 0;
  for (const chunk of chunks) {
    all.set(chunk, offset);
    offset += chunk.byteLength;
  }
  return all;
}

/** Returns base64 with padding. */
export function toBase64(bytes: Uint8Array): string {
  let binary = "";
  // Taken in slices, because arguments live on the stack, which is small.
  for (let i = 0; i < bytes.byteLength; i += 8_192) {
    binary += String.fromCharCode(...bytes.subarray(i, i + 8_192));
  }
  return btoa(binary);
}

/**
 * Returns the bytes of a base64 text. As with `atob`, padding may be missing.
 *
 * @throws DOMException `InvalidCharacterError` when it is not base64.
 */
export function fromBase64(text: string): Bytes {
  const binary = atob(text);
  const bytes = new Uint8Array(binary.length);
  for (let i = 0; i < binary.length; i++) bytes[i] = binary.charCodeAt(i);
  return bytes;
}
