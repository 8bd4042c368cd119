/**
 * The meaning of a store's refusals: one table from S3's codes to ours, with advice.
 * https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
 */
import { isBucketCacheError, type BucketCacheError, type ErrorCode, type RetryHint } from "../errors.js";
import { failure, type Purpose } from "./failure.js";
import type { Incoming } from "./transport.js";
import { findText, isCutError } from "./xml-text.js";

/** An XML error has a few hundred bytes. A longer one is read up to here. */
const MAX_ERROR_BYTES = 65_536;

/** A refusal as the store words it. */
export interface Refusal {
  status: number;
  /** The store's code; empty without a readable body. */
  code: string;
  message: string;
  /** True where the answer broke off, and may lack what matters. */
  isCut?: boolean;
}

type Row = [code: ErrorCode, advice?: string | undefined, retry?: RetryHint];

const RETRY: RetryHint = { retryable: true };
const RENEW: RetryHint = { newSignature: true };
const CHECK_SECRET =
  "check the credentials; behind nginx set `ignore_invalid_headers off`, since `expires_at` has an underscore";
const CHECK_CLOCK = "set the clock of the machine that signs: this one, or the presign handler's";
const SHARED_PATH = "this store is a file system, where no key may continue another after a slash";
const CONFLICT = "another write came first";

const BY_CODE: Record<string, Row> = {
  NoSuchBucket: ["ERR_NO_SUCH_BUCKET", "create the bucket, or check name, region and endpoint"],
  InvalidAccessKeyId: ["ERR_CREDENTIALS", "check the access key"],
  SignatureDoesNotMatch: ["ERR_CREDENTIALS", CHECK_SECRET],
  InvalidToken: ["ERR_CREDENTIALS", "check the session token"],
  // MinIO's, and those of STS as other stores repeat them.
  InvalidTokenId: ["ERR_CREDENTIALS", "check the session token"],
  InvalidClientTokenId: ["ERR_CREDENTIALS", "check the access key"],
  InvalidSecurity: ["ERR_CREDENTIALS", "check the credentials"],
  TokenRefreshRequired: ["ERR_CREDENTIALS", "the session is over: get new credentials", RENEW],
  ExpiredToken: ["ERR_CREDENTIALS", "the session is over: get new credentials", RENEW],
  RequestTimeTooSkewed: ["ERR_CLOCK_SKEW", CHECK_CLOCK, RENEW],
  RequestExpired: ["ERR_CLOCK_SKEW", `${CHECK_CLOCK}, or get a new grant`, RENEW],
  // For reads and deletes this is a result (isAbsent). A write gets it when the object that it was to replace is gone.
  NoSuchKey: ["ERR_CONFLICT", CONFLICT],
  PreconditionFailed: ["ERR_CONFLICT", CONFLICT],
  ConditionalRequestConflict: ["ERR_CONFLICT", CONFLICT, RETRY],
  OperationAborted: ["ERR_CONFLICT", CONFLICT, RETRY],
  RequestTimeout: ["ERR_TIMEOUT", undefined, RETRY],
  IncompleteBody: ["ERR_UNAVAILABLE", undefined, RETRY],
  SlowDown: ["ERR_UNAVAILABLE", undefined, RETRY],
  InternalError: ["ERR_UNAVAILABLE", undefined, RETRY],
  ServiceUnavailable: ["ERR_UNAVAILABLE", undefined, RETRY],
  EntityTooLarge: ["ERR_TOO_LARGE"],
  NotImplemented: ["ERR_UNSUPPORTED"],
  // versitygw and MinIO keep a key as a path of files.
  ObjectParentIsFile: ["ERR_UNSUPPORTED", SHARED_PATH],
  ExistingObjectIsDirectory: ["ERR_UNSUPPORTED", SHARED_PATH],
  XMinioParentIsObject: ["ERR_UNSUPPORTED", SHARED_PATH],
  XMinioObjectExistsAsDirectory: ["ERR_UNSUPPORTED", SHARED_PATH],
};

const BY_STATUS: Record<number, Row> = {
  // A read that gets 304 without having asked for it never comes here.
  304: ["ERR_CONFLICT", CONFLICT],
  401: ["ERR_CREDENTIALS"],
  403: ["ERR_FORBIDDEN"],
  405: ["ERR_UNSUPPORTED"],
  408: ["ERR_TIMEOUT", undefined, RETRY],
  412: ["ERR_CONFLICT", CONFLICT],
  413: ["ERR_TOO_LARGE"],
  429: ["ERR_UNAVAILABLE", undefined, RETRY],
  501: ["ERR_UNSUPPORTED"],
};

export function isSuccess(status: number): boolean {
  return status >= 200 && status < 300;
}

/**
 * Whether the object, or its version, is absent. Some stores send no body with a 404, or a page in HTML; only one that
 * names the bucket is an error instead.
 */
export function isAbsent({ status, code }: Refusal): boolean {
  return status === 404 && code !== "NoSuchBucket";
}

/** Whether the multipart upload is gone: completed, or aborted. */
export function isUploadGone({ code }: Refusal): boolean {
  return code === "NoSuchUpload";
}

/** Whether the condition of a write did not hold. MinIO before April 2024 answers 304 to that. */
export function isConditionFailed(refusal: unknown): boolean {
  const { status } = refusal as { status?: unknown };
  return status === 412 || status === 304;
}

/** Whether a conditional write failed in a way that a store may choose that does not know the condition, or its form. */
export function isConditionRefused(error: unknown): boolean {
  if (!isBucketCacheError(error)) return false;
  // A 400 whose code means something else, such as a slow upload, is none of the condition's business.
  return isConditionFailed(error) || error.status === 501 || (error.status === 400 && error.code === "ERR_STORE");
}

/** Whether the store calls the signature wrong: that of another secret, or of another query than the store understands. */
export function isSignatureRefused({ status, code }: Refusal): boolean {
  return status === 403 && code === "SignatureDoesNotMatch";
}

/** Whether the error of a read does not say why it was refused. The answer to a HEAD that is forbidden never does. */
export function isUnexplainedError(error: unknown): boolean {
  return isBucketCacheError(error) && error.status === 403 && error.storeCode === undefined;
}

/** Whether a refusal does not say why. The answer to a HEAD that is forbidden never does. */
export function isUnexplained({ status, code }: Refusal): boolean {
  return status === 403 && code === "";
}

/** Reads a refusal. Never fails: an answer that breaks off still has its status. */
export async function readRefusal(response: Incoming): Promise<Refusal> {
  const chunks: string[] = [];
  const decoder = new TextDecoder();
  let bytes = 0;
  let isCut = false;
  try {
    for (let chunk; (chunk = await response.read()) !== undefined;) {
      bytes += chunk.byteLength;
      if (bytes > MAX_ERROR_BYTES) break;
      chunks.push(decoder.decode(chunk, { stream: true }));
    }
  } catch {
    isCut = true;
  }
  response.cancel();
  const xml = chunks.join("");
  isCut ||= bytes <= MAX_ERROR_BYTES && isCutError(xml);
  return { ...parseRefusal(response.status, xml), ...(isCut && { isCut }) };
}

export function parseRefusal(status: number, xml: string): Refusal {
  return { status, code: findText(xml, "Code"), message: findText(xml, "Message") };
}

/** Makes the error of a refusal. Takes the region, and the wait that the store asks for, from the headers of the answer. */
export function refusalError(refusal: Refusal, response: Pick<Incoming, "header">, purpose: Purpose): BucketCacheError {
  const { status, code, message } = refusal;
  const [errorCode, tableAdvice, retry] = rowOf(refusal);
  const afterMs = retryAfterMs(response.header("retry-after"));
  const region = response.header("x-amz-bucket-region");
  const advice = adviceFor(refusal, region, errorCode === "ERR_FORBIDDEN" ? purpose.action : undefined) ?? tableAdvice;
  return failure(
    errorCode,
    `${purpose.store} answered ${status}${code && ` ${code}`}${message && `: ${message}`}${advice ? ` (${advice})` : ""}`,
    purpose,
    { status, storeCode: code || undefined, retry: { ...retry, ...(afterMs !== undefined && { afterMs }) } },
  );
}

function rowOf({ status, code, message }: Refusal): Row {
  // A presigned URL whose time is over, or has not come, is `AccessDenied` with these words.
  const isOutOfTime = code === "AccessDenied" && status === 403 && /expired|not (?:yet )?valid/i.test(message);
  return (
    BY_CODE[isOutOfTime ? "RequestExpired" : code] ??
    BY_STATUS[status] ??
    (status >= 500 ? ["ERR_UNAVAILABLE", undefined, RETRY] : ["ERR_STORE"])
  );
}

/** Returns advice that depends on the request. `forbidden` is the IAM action that the store forbids. */
function adviceFor({ status, code }: Refusal, region: string | undefined, forbidden: string | undefined) {
  const isRedirect = status < 400 && status !== 304;
  const isMisplaced = isRedirect || (status === 400 && /^(?:Authorization.*)?$/.test(code));
  if (region !== undefined && isMisplaced) return `the bucket is in ${region}: set \`region\`, or that of the client`;
  if (isRedirect) return "redirects are not followed: check endpoint and region";
  if (forbidden === "s3:GetObject") {
    return `allow ${forbidden}, and s3:ListBucket, without which absent objects answer 403 too`;
  }
  return forbidden && `allow ${forbidden}`;
}

/** Reads `Retry-After`: seconds, or a date (RFC 9110, section 10.2.3). */
function retryAfterMs(value: string | undefined): number | undefined {
  if (value === undefined) return undefined;
  const waitMs = /^\d+$/.test(value) ? Number(value) * 1_000 : Date.parse(value) - Date.now();
  return waitMs > 0 ? waitMs : undefined;
}
