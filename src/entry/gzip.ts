/**
 * Compresses and inflates values, and chooses the implementation: node:zlib where there is one (Node, Bun, Deno); else fflate for small values,
 * where it takes longer to begin a stream than to do the work, and the platform's streams for all else.
 *
 * Measured on JSON, the best of 24 rounds on a busy machine, microseconds a call, for platform's streams / fflate:
 *
 *     plain bytes              256        1 Ki        2 Ki        4 Ki        8 Ki       16 Ki         64 Ki
 *     gzip   Chromium 156   141 / 55    119 / 57    124 / 95   141 / 167   191 / 189   295 / 360   1,210 / 1,654
 *            Firefox 153    182 / 46    178 / 99    234 / 91   244 / 157   610 / 221   364 / 581   1,411 / 2,940
 *            WebKit 2.50   166 / 120   180 / 148   105 / 142   133 / 135   171 / 288   254 / 627   1,336 / 1,993
 *            workerd        96 / 136    153 / 46    92 / 61    129 / 89    276 / 297   379 / 344   2,984 / 1,557
 *     gunzip Chromium 156    53 / 32     44 / 19     43 / 28     59 / 45    56 / 144    71 / 224      155 / 974
 *            Firefox 153    172 / 12    223 / 30    119 / 27   127 / 128   235 / 177   128 / 227      563 / 803
 *            WebKit 2.50     83 / 37     53 / 59     38 / 41    71 / 155    48 / 135    66 / 265    154 / 1,628
 *            workerd          20 / 9     43 / 26     65 / 62    71 / 169    90 / 177   105 / 127     356 / 1,061
 *
 * Beyond the limit, streams win in most engines, by more the more there is. On Node, node:zlib takes 65 and 12 for 4 KiB,
 * in the synchronous call, and 1,053 and 119 for 64 KiB. Streams, MiB/s of plain bytes: gzip by zlib 47, by CompressionStream
 * 43; gunzip by zlib 360 (with 64 KiB chunks), by DecompressionStream 170, by fflate 85.
 */
import { lazy } from "../base/lazy.js";
import { isBucketCacheError } from "../errors.js";
import type { Bytes } from "../types.js";
import { damage, type Members, SECOND_MEMBER } from "./damage.js";
import { gunzipNative, gzipNative, hasNativeGzip } from "./native.js";
import { findZlib, gunzipZlib, gzipZlib } from "./zlib.js";

/** Plain bytes up to which fflate is the faster one in most engines of the table, or as fast, in both directions. */
const FFLATE_UP_TO = 4_096;

/** Bytes of the shortest member: header, the end of the data, trailer. */
const MIN_MEMBER = 20;
/** Bytes of a checksum and a size. */
const TRAILER = 8;

// fflate is larger than all else here, and not needed on Node. Most pages need one direction: each is a part of its own.
/** Runs work on fflate's compressor. */
export const compressor = /* @__PURE__ */ lazy(() => import("./fflate-gzip.js"));

/** Runs work on fflate's decompressor. */
export const decompressor = /* @__PURE__ */ lazy(() => import("./fflate-gunzip.js"));

/** gzip at level 6, without a time in its header: equal bytes in give equal bytes out on one runtime. */
export function gzip(data: Bytes): Bytes | Promise<Bytes> {
  const zlib = findZlib();
  if (zlib !== undefined) return gzipZlib(zlib, data);
  if (data.byteLength > FFLATE_UP_TO && hasNativeGzip()) return gzipNative(data);
  return compressor(async ({ gzipFflate }) => gzipFflate(data));
}

/**
 * Undoes gzip, and checks its checksums. Never inflates much more than `maxBytes`.
 *
 * @throws BucketCacheError `ERR_TOO_LARGE` beyond `maxBytes`; Error, saying what is wrong, when the data is damaged,
 *   cut off or followed by anything else, which may be a further member.
 */
export async function gunzip(data: Bytes, maxBytes: number, members: Members): Promise<Bytes> {
  const plain = await inflate(data, maxBytes, members);
  if (members === "one" && (sizeAtEnd(data) !== plain.byteLength || (await beginsWithEmptyMember(data)))) {
    throw damage(SECOND_MEMBER);
  }
  return plain;
}

async function inflate(data: Bytes, maxBytes: number, members: Members): Promise<Bytes> {
  const zlib = findZlib();
  if (zlib !== undefined) return gunzipZlib(zlib, data, maxBytes);
  if (!isSmall(data) && hasNativeGzip()) {
    try {
      return await gunzipNative(data, maxBytes);
    } catch (error) {
      // The platform's streams refuse a second member.
      if (members === "one" || isTooLarge(error) || headersIn(data).next().done === true) throw error;
    }
  }
  return decompressor(async ({ gunzipFflate }) => gunzipFflate(data, maxBytes));
}

/** Whether the data are of a size for fflate, as the trailer tells the plain size. A false trailer costs time only. */
function isSmall(data: Bytes): boolean {
  return data.byteLength <= FFLATE_UP_TO && (data.byteLength < MIN_MEMBER || sizeAtEnd(data) <= FFLATE_UP_TO);
}

/** Returns the plain size of the last member, as its trailer tells it. */
function sizeAtEnd(data: Bytes): number {
  return new DataView(data.buffer, data.byteOffset + data.byteLength - 4).getUint32(0, true);
}

/**
 * Tells whether sound gzip begins with a member without content, and another follows. The sizes do not tell it: that of the
 * last member is then that of all.
 */
async function beginsWithEmptyMember(data: Bytes): Promise<boolean> {
  for (const at of headersIn(data)) {
    if (at < MIN_MEMBER || data.subarray(at - TRAILER, at).some((byte) => byte !== 0)) continue;
    // Content may look like this too, but what stands before it is no whole member then.
    const isMember = inflate(data.subarray(0, at), 0, "any").then(
      () => true,
      () => false,
    );
    if (await isMember) return true;
  }
  return false;
}

/** Yields the places behind the first where the header of a member stands, or bytes that look like one. */
function* headersIn(data: Bytes): Generator<number, undefined> {
  for (let at = data.indexOf(0x1f, 1); at > 0; at = data.indexOf(0x1f, at + 1)) {
    if (data[at + 1] === 0x8b && data[at + 2] === 8) yield at;
  }
}

function isTooLarge(error: unknown): boolean {
  return isBucketCacheError(error) && error.code === "ERR_TOO_LARGE";
}
