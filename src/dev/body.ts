import { createHash } from "node:crypto";
import type { IncomingMessage } from "node:http";
import {
  CHECKSUM_SIZES,
  createChecksum,
  isChecksumAlgorithm,
  type Checksum,
  type ChecksumAlgorithm,
} from "./checksums.js";
import { ChunkedDecoder } from "./chunked.js";
import { S3Error } from "./errors.js";
import type { S3Request } from "./request.js";

/** A checksum of a body, in base64. */
export interface BodyChecksum {
  algorithm: ChecksumAlgorithm;
  value: string;
}

export interface ReceiveOptions {
  maxBytes: number;
  /** A checksum to be computed even when none was sent. */
  algorithm?: ChecksumAlgorithm | undefined;
  /** False where `x-amz-checksum-*` is about something else than this body. */
  checksums?: boolean;
}

/** Facts about a body that was received whole and verified. */
export interface Received {
  size: number;
  /** MD5 in hex: the ETag. */
  md5: string;
  checksum: BodyChecksum | undefined;
}

/**
 * Receives the body of a request, piece by piece, and verifies every digest that came with it: the signed SHA-256,
 * `Content-MD5`, `x-amz-checksum-*` in a header or in the trailer, and the lengths. When it rejects, the bytes that were
 * written are void.
 */
export async function receiveBody(
  request: S3Request,
  write: (chunk: Buffer) => void | Promise<void>,
  { maxBytes, algorithm, checksums = true }: ReceiveOptions,
): Promise<Received> {
  const expectedSize = declaredSize(request);
  if (expectedSize > maxBytes) {
    throw new S3Error("EntityTooLarge", undefined, { ProposedSize: expectedSize, MaxSizeAllowed: maxBytes });
  }
  const expectedMd5 = contentMd5(request);
  const expected = checksums ? declaredChecksum(request, algorithm) : undefined;
  const { payload } = request;

  const md5 = createHash("md5");
  const sha256 = payload.kind === "plain" && payload.sha256 !== undefined ? createHash("sha256") : undefined;
  const checksum: Checksum | undefined = expected && createChecksum(expected.algorithm);
  const decoder = payload.kind === "chunked" ? new ChunkedDecoder(payload.signer) : undefined;
  let size = 0;
  const take = (chunk: Buffer): void | Promise<void> => {
    size += chunk.length;
    if (size > expectedSize) throw new S3Error("IncompleteBody", "The body is longer than its headers say");
    md5.update(chunk);
    sha256?.update(chunk);
    checksum?.update(chunk);
    return write(chunk);
  };
  await consume(request.raw, (piece) => {
    if (decoder === undefined) return take(piece);
    return inOrder(decoder.decode(piece), take);
  });

  const trailers = decoder?.finish();
  if (size !== expectedSize) throw new S3Error("IncompleteBody");
  if (sha256 !== undefined && payload.kind === "plain") {
    const computed = sha256.digest("hex");
    if (computed !== payload.sha256) {
      throw new S3Error("XAmzContentSHA256Mismatch", undefined, {
        ClientComputedContentSHA256: payload.sha256 ?? "",
        S3ComputedContentSHA256: computed,
      });
    }
  }
  const md5Digest = md5.digest();
  if (expectedMd5 !== undefined && !expectedMd5.equals(md5Digest)) {
    throw new S3Error("BadDigest", undefined, {
      ExpectedDigest: expectedMd5.toString("base64"),
      CalculatedDigest: md5Digest.toString("base64"),
    });
  }
  const value = checksum?.digest();
  if (expected !== undefined && value !== undefined) verifyChecksum(expected, value, trailers);
  return {
    size,
    md5: md5Digest.toString("hex"),
    checksum: expected && value !== undefined ? { algorithm: expected.algorithm, value } : undefined,
  };
}

/** Receives a small body, whole. */
export async function receiveSmallBody(request: S3Request, options: ReceiveOptions): Promise<Buffer> {
  if (declaredSize(request) > options.maxBytes) throw new S3Error("MaxMessageLengthExceeded");
  const chunks: Buffer[] = [];
  await receiveBody(request, (chunk) => void chunks.push(chunk), options);
  return Buffer.concat(chunks);
}

function declaredSize(request: S3Request): number {
  const name = request.payload.kind === "chunked" ? "x-amz-decoded-content-length" : "content-length";
  const text = request.header(name);
  if (text === undefined) throw new S3Error("MissingContentLength");
  if (!/^\d{1,15}$/.test(text)) throw new S3Error("InvalidArgument", `${name} is not a length`);
  return Number(text);
}

function contentMd5(request: S3Request): Buffer | undefined {
  const text = request.header("content-md5");
  if (text === undefined) return undefined;
  const digest = Buffer.from(text, "base64");
  if (digest.length !== 16 || digest.toString("base64") !== text) throw new S3Error("InvalidDigest");
  return digest;
}

interface DeclaredChecksum {
  algorithm: ChecksumAlgorithm;
  /** Undefined when the checksum comes in the trailer, or when none was promised. */
  value: string | undefined;
  trailer: boolean;
}

function declaredChecksum(request: S3Request, wanted: ChecksumAlgorithm | undefined): DeclaredChecksum | undefined {
  const declared: DeclaredChecksum[] = [];
  for (const [name, value] of Object.entries(request.headersWith("x-amz-checksum-"))) {
    if (isChecksumAlgorithm(name))
      declared.push({ algorithm: name, value: checkedDigest(name, value), trailer: false });
  }
  const trailer =
    request.payload.kind === "chunked" && request.payload.trailer ? request.header("x-amz-trailer") : undefined;
  if (trailer !== undefined) {
    const name = trailer
      .trim()
      .toLowerCase()
      .replace(/^x-amz-checksum-/, "");
    if (!isChecksumAlgorithm(name)) {
      throw new S3Error("InvalidRequest", "The value specified in the x-amz-trailer header is not supported");
    }
    declared.push({ algorithm: name, value: undefined, trailer: true });
  }
  const [first, second] = declared;
  if (second !== undefined) {
    throw new S3Error(
      "InvalidRequest",
      "Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed.",
    );
  }
  return first ?? (wanted && { algorithm: wanted, value: undefined, trailer: false });
}

function checkedDigest(algorithm: ChecksumAlgorithm, text: string): string {
  const digest = Buffer.from(text, "base64");
  if (digest.length !== CHECKSUM_SIZES[algorithm] || digest.toString("base64") !== text) {
    throw new S3Error("InvalidRequest", `Value for x-amz-checksum-${algorithm} header is invalid.`);
  }
  return text;
}

function verifyChecksum(expected: DeclaredChecksum, value: string, trailers?: ReadonlyMap<string, string>): void {
  let given = expected.value;
  if (expected.trailer) {
    const text = trailers?.get(`x-amz-checksum-${expected.algorithm}`);
    if (text === undefined) throw new S3Error("MalformedTrailerError");
    given = checkedDigest(expected.algorithm, text);
  }
  if (given !== undefined && given !== value) {
    throw new S3Error(
      "BadDigest",
      `The ${expected.algorithm.toUpperCase()} you specified did not match the calculated checksum.`,
    );
  }
}

function inOrder(chunks: Buffer[], take: (chunk: Buffer) => void | Promise<void>): void | Promise<void> {
  for (const [index, chunk] of chunks.entries()) {
    const pending = take(chunk);
    if (pending !== undefined) return pending.then(() => inOrder(chunks.slice(index + 1), take));
  }
}

/** Hands over every piece of the body, waiting where the receiver asks to. After a failure the rest is read and dropped. */
function consume(source: IncomingMessage, take: (piece: Buffer) => void | Promise<void>): Promise<void> {
  return new Promise((resolve, reject) => {
    let pending: Promise<void> | undefined;
    let failed = false;
    const fail = (error: unknown): void => {
      failed = true;
      source.resume();
      reject(error as Error);
    };
    source.on("data", (piece: Buffer) => {
      if (failed) return;
      try {
        const result = take(piece);
        if (result === undefined) return;
        source.pause();
        pending = result;
        result.then(() => source.resume(), fail);
      } catch (error) {
        fail(error);
      }
    });
    source.on("end", () => void (pending ?? Promise.resolve()).then(resolve, fail));
    source.on("error", () => fail(new S3Error("IncompleteBody")));
    source.on("close", () => {
      if (!source.complete) fail(new S3Error("IncompleteBody"));
    });
  });
}
