import { createHash, createHmac, timingSafeEqual } from "node:crypto";
import { S3Error } from "./errors.js";
import type { ChunkSigner, PayloadMode, S3Request } from "./request.js";

const ALGORITHM = "AWS4-HMAC-SHA256";
const MAX_SKEW = 15 * 60_000;
const MAX_EXPIRES = 604_800;
const EMPTY_SHA256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/** Credentials that may sign, and the region that signatures must name. */
export interface Verifier {
  accessKeyId: string;
  secretAccessKey: string;
  region: string;
}

/** The claims of a request about its own signature. */
interface Claim {
  presigned: boolean;
  accessKeyId: string;
  day: string;
  region: string;
  signedHeaders: string[];
  signature: string;
}

/**
 * Verifies the SigV4 signature of a request, in its headers or its query, and sets `request.payload`.
 * Every `x-amz-*` header has to be among the signed ones, as on AWS.
 *
 * @throws S3Error with S3's own code for each way to be wrong.
 */
export function authenticate(request: S3Request, verifier: Verifier, now: number): void {
  const claim = readClaim(request);
  if (claim.presigned) request.hoistQuery();
  const date = dateOf(request, claim);
  if (claim.presigned) checkPresignedTime(request, date.time, now);
  if (claim.accessKeyId !== verifier.accessKeyId) {
    throw new S3Error("InvalidAccessKeyId", undefined, { AWSAccessKeyId: claim.accessKeyId });
  }
  // No temporary credentials are ever issued here, so no token can be right.
  if (request.header("x-amz-security-token") !== undefined) throw new S3Error("InvalidToken");
  if (claim.region !== verifier.region) throw wrongRegion(claim, verifier.region);
  if (claim.day !== date.text.slice(0, 8)) throw malformed(claim, `Invalid credential date "${claim.day}".`);
  if (!claim.presigned && Math.abs(now - date.time) > MAX_SKEW) {
    throw new S3Error("RequestTimeTooSkewed", undefined, {
      RequestTime: date.text,
      ServerTime: isoSeconds(now),
      MaxAllowedSkewMilliseconds: MAX_SKEW,
    });
  }
  checkSignedHeaders(request, claim);

  const payloadHash = payloadHashOf(request, claim);
  const scope = `${claim.day}/${claim.region}/s3/aws4_request`;
  const canonical = canonicalRequest(request, claim, payloadHash);
  const stringToSign = `${ALGORITHM}\n${date.text}\n${scope}\n${sha256(canonical)}`;
  const key = signingKey(verifier, claim.day);
  if (!equal(claim.signature, hmac(key, stringToSign).toString("hex"))) {
    throw new S3Error("SignatureDoesNotMatch", undefined, {
      AWSAccessKeyId: claim.accessKeyId,
      StringToSign: stringToSign,
      SignatureProvided: claim.signature,
      CanonicalRequest: canonical,
    });
  }
  request.payload = payloadMode(payloadHash, () => chunkSigner(key, claim.signature, `${date.text}\n${scope}`));
}

function readClaim(request: S3Request): Claim {
  const authorization = request.raw.headers.authorization;
  const algorithm = request.query("X-Amz-Algorithm");
  const inQuery = algorithm !== undefined || request.query("X-Amz-Signature") !== undefined;
  if (inQuery && authorization !== undefined) {
    throw new S3Error(
      "InvalidArgument",
      "Only one auth mechanism allowed; only the X-Amz-Algorithm query parameter, Signature query string parameter or the Authorization header should be specified",
    );
  }
  if (inQuery) {
    const credential = request.query("X-Amz-Credential");
    const signature = request.query("X-Amz-Signature");
    const signed = request.query("X-Amz-SignedHeaders");
    if (algorithm === undefined || credential === undefined || signature === undefined || signed === undefined) {
      throw new S3Error("AuthorizationQueryParametersError");
    }
    if (algorithm !== ALGORITHM) {
      throw new S3Error(
        "AuthorizationQueryParametersError",
        'X-Amz-Algorithm only supports "AWS4-HMAC-SHA256 and AWS4-ECDSA-P256-SHA256"',
      );
    }
    return { presigned: true, ...parseCredential(credential, true), signedHeaders: signed.split(";"), signature };
  }
  if (authorization === undefined) {
    if (request.query("Signature") !== undefined) throw unsupportedMechanism();
    throw new S3Error("AccessDenied");
  }
  if (!authorization.startsWith(`${ALGORITHM} `)) throw unsupportedMechanism();
  const fields = new Map<string, string>();
  for (const field of authorization.slice(ALGORITHM.length + 1).split(",")) {
    const equals = field.indexOf("=");
    fields.set(field.slice(0, Math.max(equals, 0)).trim(), field.slice(equals + 1).trim());
  }
  const credential = fields.get("Credential");
  const signed = fields.get("SignedHeaders");
  const signature = fields.get("Signature");
  if (credential === undefined || signed === undefined || signature === undefined) {
    throw new S3Error("AuthorizationHeaderMalformed");
  }
  return { presigned: false, ...parseCredential(credential, false), signedHeaders: signed.split(";"), signature };
}

function unsupportedMechanism(): S3Error {
  return new S3Error(
    "InvalidRequest",
    "The authorization mechanism you have provided is not supported. Please use AWS4-HMAC-SHA256.",
  );
}

function parseCredential(credential: string, presigned: boolean): Pick<Claim, "accessKeyId" | "day" | "region"> {
  const match = /^([^/]+)\/(\d{8})\/([^/]+)\/s3\/aws4_request$/.exec(credential);
  if (match === null) {
    const message = 'the Credential is mal-formed; expecting "<YOUR-AKID>/YYYYMMDD/REGION/s3/aws4_request".';
    throw malformed({ presigned }, message);
  }
  const [, accessKeyId = "", day = "", region = ""] = match;
  return { accessKeyId, day, region };
}

function malformed(claim: Pick<Claim, "presigned">, message: string, details?: Record<string, string>): S3Error {
  return claim.presigned
    ? new S3Error(
        "AuthorizationQueryParametersError",
        `Error parsing the X-Amz-Credential parameter; ${message}`,
        details,
      )
    : new S3Error("AuthorizationHeaderMalformed", `The authorization header is malformed; ${message}`, details);
}

function wrongRegion(claim: Claim, region: string): S3Error {
  return malformed(claim, `the region '${claim.region}' is wrong; expecting '${region}'`, { Region: region });
}

function dateOf(request: S3Request, claim: Claim): { text: string; time: number } {
  const amzDate = claim.presigned ? request.query("X-Amz-Date") : request.raw.headers["x-amz-date"];
  if (typeof amzDate === "string") {
    const match = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/.exec(amzDate);
    const [, year, month, day, hour, minute, second] = match ?? [];
    const time = Date.parse(`${year}-${month}-${day}T${hour}:${minute}:${second}Z`);
    if (!Number.isNaN(time)) return { text: amzDate, time };
  } else if (!claim.presigned && request.raw.headers.date !== undefined) {
    const time = Date.parse(request.raw.headers.date);
    if (!Number.isNaN(time)) return { text: isoSeconds(time).replace(/[-:]/g, ""), time };
  }
  throw claim.presigned
    ? new S3Error(
        "AuthorizationQueryParametersError",
        "X-Amz-Date must be in the ISO8601 Long Format \"yyyyMMdd'T'HHmmss'Z'\"",
      )
    : new S3Error("AccessDenied", "AWS authentication requires a valid Date or x-amz-date header");
}

function isoSeconds(time: number): string {
  return new Date(time).toISOString().replace(/\.\d+Z$/, "Z");
}

function checkPresignedTime(request: S3Request, signedAt: number, now: number): void {
  const text = request.query("X-Amz-Expires");
  if (text === undefined) throw new S3Error("AuthorizationQueryParametersError");
  if (!/^-?\d{1,12}$/.test(text)) {
    throw new S3Error("AuthorizationQueryParametersError", "X-Amz-Expires should be a number");
  }
  const expires = Number(text);
  if (expires < 0) throw new S3Error("AuthorizationQueryParametersError", "X-Amz-Expires must be non-negative");
  if (expires > MAX_EXPIRES) {
    throw new S3Error(
      "AuthorizationQueryParametersError",
      "X-Amz-Expires must be less than a week (in seconds); that is, the given X-Amz-Expires must be less than 604800 seconds",
    );
  }
  const end = signedAt + expires * 1000;
  const details = { "X-Amz-Expires": expires, Expires: isoSeconds(end), ServerTime: isoSeconds(now) };
  if (signedAt > now + MAX_SKEW) throw new S3Error("AccessDenied", "Request is not valid yet", details);
  if (now > end) throw new S3Error("AccessDenied", "Request has expired", details);
}

function checkSignedHeaders(request: S3Request, claim: Claim): void {
  const signed = new Set(claim.signedHeaders);
  const missing = Object.keys(request.raw.headers).filter(
    (name) => (name === "host" || name.startsWith("x-amz-")) && !signed.has(name),
  );
  if (missing.length > 0) {
    throw new S3Error("AccessDenied", "There were headers present in the request which were not signed", {
      HeadersNotSigned: missing.join(", "),
    });
  }
}

function payloadHashOf(request: S3Request, claim: Claim): string {
  const declared = request.header("x-amz-content-sha256");
  if (declared !== undefined) return declared;
  if (claim.presigned) return "UNSIGNED-PAYLOAD";
  throw new S3Error("InvalidRequest", "Missing required header for this request: x-amz-content-sha256");
}

function canonicalRequest(request: S3Request, claim: Claim, payloadHash: string): string {
  const query = request.parameters
    .filter(({ name }) => !(claim.presigned && name === "X-Amz-Signature"))
    .map(({ encoded }) => encoded)
    .sort()
    .join("&");
  let headers = "";
  for (const name of claim.signedHeaders) {
    const value = Object.hasOwn(request.raw.headers, name) ? request.raw.headers[name] : undefined;
    const text = typeof value === "string" ? value : (value?.join(",") ?? "");
    headers += `${name}:${text.trim().replace(/ {2,}/g, " ")}\n`;
  }
  const names = claim.signedHeaders.join(";");
  return `${request.method}\n${request.canonicalPath}\n${query}\n${headers}\n${names}\n${payloadHash}`;
}

function payloadMode(payloadHash: string, signer: () => ChunkSigner): PayloadMode {
  switch (payloadHash) {
    case "UNSIGNED-PAYLOAD":
      return { kind: "plain", sha256: undefined };
    case "STREAMING-UNSIGNED-PAYLOAD-TRAILER":
      return { kind: "chunked", trailer: true, signer: undefined };
    case "STREAMING-AWS4-HMAC-SHA256-PAYLOAD":
      return { kind: "chunked", trailer: false, signer: signer() };
    case "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER":
      return { kind: "chunked", trailer: true, signer: signer() };
    default:
      if (/^[0-9a-f]{64}$/i.test(payloadHash)) return { kind: "plain", sha256: payloadHash.toLowerCase() };
      throw new S3Error(
        "InvalidArgument",
        "x-amz-content-sha256 must be UNSIGNED-PAYLOAD, STREAMING-UNSIGNED-PAYLOAD-TRAILER, STREAMING-AWS4-HMAC-SHA256-PAYLOAD, STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER or a valid sha256 value.",
        { ArgumentName: "x-amz-content-sha256", ArgumentValue: payloadHash },
      );
  }
}

function chunkSigner(key: Buffer, seed: string, dateAndScope: string): ChunkSigner {
  let previous = seed;
  const verify = (kind: string, signature: string, hashes: string): boolean => {
    const expected = hmac(key, `${ALGORITHM}-${kind}\n${dateAndScope}\n${previous}\n${hashes}`).toString("hex");
    previous = expected;
    return equal(signature, expected);
  };
  return {
    verifyChunk: (signature, hash) => verify("PAYLOAD", signature, `${EMPTY_SHA256}\n${hash}`),
    verifyTrailer: (signature, hash) => verify("TRAILER", signature, hash),
  };
}

// Header values reach us as Latin-1, one character for each byte of the wire. Hashed as Latin-1, they are the bytes sent.
function sha256(text: string): string {
  return createHash("sha256").update(text, "latin1").digest("hex");
}

function hmac(key: string | Buffer, text: string): Buffer {
  return createHmac("sha256", key).update(text, "latin1").digest();
}

/** Compares two texts in a time that does not tell where they differ. */
function equal(given: string, expected: string): boolean {
  const a = Buffer.from(given, "latin1");
  const b = Buffer.from(expected, "latin1");
  return a.length === b.length && timingSafeEqual(a, b);
}

const keys = new WeakMap<Verifier, { day: string; key: Buffer }>();

/** Returns the signing key of a day; all requests but those around midnight share one. */
function signingKey(verifier: Verifier, day: string): Buffer {
  const known = keys.get(verifier);
  if (known?.day === day) return known.key;
  const dayKey = hmac(Buffer.from(`AWS4${verifier.secretAccessKey}`), day);
  const key = hmac(hmac(hmac(dayKey, verifier.region), "s3"), "aws4_request");
  keys.set(verifier, { day, key });
  return key;
}
