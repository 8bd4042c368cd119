import { createHash } from "node:crypto";
import { crc32 } from "node:zlib";

/** The checksum algorithms of S3 that SDKs use, as in `x-amz-checksum-<name>`. */
export const CHECKSUM_SIZES = { crc32: 4, crc32c: 4, crc64nvme: 8, sha1: 20, sha256: 32 } as const;
export type ChecksumAlgorithm = keyof typeof CHECKSUM_SIZES;

export function isChecksumAlgorithm(name: string): name is ChecksumAlgorithm {
  return Object.hasOwn(CHECKSUM_SIZES, name);
}

/** A checksum in the making. */
export interface Checksum {
  update(chunk: Uint8Array): void;
  /** Returns the digest, in base64 as S3 writes it. */
  digest(): string;
}

export function createChecksum(algorithm: ChecksumAlgorithm): Checksum {
  switch (algorithm) {
    case "sha1":
    case "sha256": {
      const hash = createHash(algorithm);
      return { update: (chunk) => void hash.update(chunk), digest: () => hash.digest("base64") };
    }
    case "crc32": {
      let crc = 0;
      return { update: (chunk) => void (crc = crc32(chunk, crc)), digest: () => base64(BigInt(crc), 4) };
    }
    case "crc32c":
    case "crc64nvme":
      return new TableCrc(algorithm);
  }
}

function base64(value: bigint, bytes: number): string {
  return Buffer.from(value.toString(16).padStart(bytes * 2, "0"), "hex").toString("base64");
}

/** The polynomials with their bits reversed, as these checksums compute. */
const POLYNOMIALS = { crc32: 0xedb88320n, crc32c: 0x82f63b78n, crc64nvme: 0x9a6c9329ac4bc9b5n } as const;
type Crc = keyof typeof POLYNOMIALS;

export function isCrc(algorithm: ChecksumAlgorithm): algorithm is Crc {
  return Object.hasOwn(POLYNOMIALS, algorithm);
}

/**
 * Computes the checksum of a whole from those of its parts, without another look at the bytes: a CRC is linear, so the
 * checksum of the earlier bytes is moved past the later ones by a multiplication modulo the polynomial.
 */
export function combineCrc(algorithm: Crc, parts: readonly { value: string; size: number }[]): string {
  const width = CHECKSUM_SIZES[algorithm] * 8;
  let crc = 0n;
  for (const { value, size } of parts) {
    const next = BigInt(`0x${Buffer.from(value, "base64").toString("hex")}`);
    crc = multiply(algorithm, width, crc, power(algorithm, width, size * 8)) ^ next;
  }
  return base64(crc, width / 8);
}

/** Multiplies two polynomials with reversed bits: the highest bit is the coefficient of 1. */
function multiply(algorithm: Crc, width: number, a: bigint, b: bigint): bigint {
  const one = 1n << BigInt(width - 1);
  let product = 0n;
  for (let factor = b, bit = one; bit !== 0n; bit >>= 1n) {
    if ((a & bit) !== 0n) product ^= factor;
    factor = (factor & 1n) === 1n ? (factor >> 1n) ^ POLYNOMIALS[algorithm] : factor >> 1n;
  }
  return product;
}

/** Returns x to the power of `exponent`. */
function power(algorithm: Crc, width: number, exponent: number): bigint {
  let result = 1n << BigInt(width - 1);
  let square = 1n << BigInt(width - 2);
  for (let rest = exponent; rest > 0; rest = Math.floor(rest / 2)) {
    if (rest % 2 === 1) result = multiply(algorithm, width, result, square);
    square = multiply(algorithm, width, square, square);
  }
  return result;
}

/** Eight tables of 256 entries in a row, so that eight bytes take one step; 64-bit entries in two halves. */
interface Tables {
  low: Uint32Array;
  high: Uint32Array;
}

const tablesOf = new Map<Crc, Tables>();

function tables(algorithm: Crc): Tables {
  const known = tablesOf.get(algorithm);
  if (known !== undefined) return known;
  const entries: bigint[] = [];
  for (let byte = 0; byte < 256; byte++) {
    let value = BigInt(byte);
    for (let bit = 0; bit < 8; bit++)
      value = (value & 1n) === 1n ? (value >> 1n) ^ POLYNOMIALS[algorithm] : value >> 1n;
    entries.push(value);
  }
  for (let index = 256; index < 2048; index++) {
    const value = entries[index - 256]!;
    entries.push((value >> 8n) ^ entries[Number(value & 0xffn)]!);
  }
  const made = {
    low: Uint32Array.from(entries, (value) => Number(value & 0xffffffffn)),
    high: Uint32Array.from(entries, (value) => Number(value >> 32n)),
  };
  tablesOf.set(algorithm, made);
  return made;
}

/** The CRCs that `node:zlib` does not have. */
class TableCrc implements Checksum {
  readonly #bytes: number;
  readonly #tables: Tables;
  #low = 0xffffffff;
  #high: number;

  constructor(algorithm: "crc32c" | "crc64nvme") {
    this.#bytes = CHECKSUM_SIZES[algorithm];
    this.#tables = tables(algorithm);
    this.#high = this.#bytes === 8 ? 0xffffffff : 0;
  }

  update(chunk: Uint8Array): void {
    const { low: lows, high: highs } = this.#tables;
    const view = new DataView(chunk.buffer, chunk.byteOffset, chunk.byteLength);
    let low = this.#low;
    let high = this.#high;
    let at = 0;
    for (; at + 8 <= chunk.length; at += 8) {
      const a = low ^ view.getUint32(at, true);
      const b = high ^ view.getUint32(at + 4, true);
      const i = 1792 + (a & 255);
      const j = 1536 + ((a >>> 8) & 255);
      const k = 1280 + ((a >>> 16) & 255);
      const l = 1024 + (a >>> 24);
      const m = 768 + (b & 255);
      const n = 512 + ((b >>> 8) & 255);
      const o = 256 + ((b >>> 16) & 255);
      const p = b >>> 24;
      low = lows[i]! ^ lows[j]! ^ lows[k]! ^ lows[l]! ^ lows[m]! ^ lows[n]! ^ lows[o]! ^ lows[p]!;
      high = highs[i]! ^ highs[j]! ^ highs[k]! ^ highs[l]! ^ highs[m]! ^ highs[n]! ^ highs[o]! ^ highs[p]!;
    }
    for (; at < chunk.length; at++) {
      const index = (low ^ chunk[at]!) & 255;
      low = ((low >>> 8) | (high << 24)) ^ lows[index]!;
      high = (high >>> 8) ^ highs[index]!;
    }
    this.#low = low;
    this.#high = high;
  }

  digest(): string {
    const value = Buffer.alloc(8);
    value.writeUInt32BE(~this.#high >>> 0, 0);
    value.writeUInt32BE(~this.#low >>> 0, 4);
    return value.subarray(8 - this.#bytes).toString("base64");
  }
}
