/** The parts of a gzip member around its data, for both directions of gzip by fflate. */

/** Bytes of the checksum and size behind the data of a member. */
export const TRAILER = 8;
/** A header without time and name. */
export const HEADER = /* @__PURE__ */ Uint8Array.of(0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3);

const CRC_TABLE = /* @__PURE__ */ Int32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte;
  for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0xedb88320 : crc >>> 1;
  return crc;
});

/** Continues the CRC-32 of RFC 1952 with more bytes. */
export function crc32(bytes: Uint8Array, previous: number): number {
  let crc = ~previous;
  for (let i = 0; i < bytes.length; i++) crc = CRC_TABLE[(crc ^ bytes[i]!) & 0xff]! ^ (crc >>> 8);
  return ~crc;
}
