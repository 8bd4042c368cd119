/** What answers of a store, and failures of the network, mean: one table from S3's codes to ours, with what to do. */
import { BucketCacheError, type ErrorCode, type ErrorDetails, type RetryHint } from "../errors.js";
import type { Incoming } from "./transport.js";
import { XML_ENTITIES } from "./xml-text.js";

/** An XML error is a few hundred bytes; whatever is longer is not read. */
const MAX_ERROR_BYTES = 65_536;

/** What the caller was doing: for the permission that the message names, and for the key that the error carries. */
export interface Purpose {
  store: string;
  key?: string | undefined;
  /** The IAM action. */
  action: string;
}

/** Signatures, credentials and tokens never leave through an error. */
export function redact(text: string): string {
  return text.replace(
    /(x-amz-(?:signature|credential|security-token)|authorization)(["']?\s*[=:]\s*)[^&\s"'<>)]+/gi,
    "$1$2…",
  );
}

/** Some runtimes put the whole URL into their errors: what is kept of a cause is its text, redacted. */
function safeCause(cause: unknown): Error {
  const {
    name,
    message,
    code,
    cause: inner,
  } = cause as { name?: string; message?: string; code?: unknown; cause?: unknown };
  const safe = new Error(
    redact(String(message ?? cause)),
    inner === undefined ? undefined : { cause: safeCause(inner) },
  );
  if (typeof name === "string") safe.name = name;
  return typeof code === "string" ? Object.assign(safe, { code }) : safe;
}

export function failure(
  code: ErrorCode,
  message: string,
  purpose: Partial<Purpose>,
  details: Pick<ErrorDetails, "retry" | "status" | "storeCode"> = {},
  cause?: unknown,
): BucketCacheError {
  return new BucketCacheError(code, redact(message), {
    ...details,
    key: purpose.key,
    store: purpose.store,
    ...(cause !== undefined && { cause: safeCause(cause) }),
  });
}

/** Silence for too long, as the transports report it. */
export class Silence extends Error {}

const CERTIFICATE = /CERT|SELF_SIGNED|UNABLE_TO_VERIFY/;

/** A failure of the transport: no answer, or one that broke off. */
export function networkFailure(cause: unknown, purpose: Purpose): BucketCacheError {
  if (cause instanceof BucketCacheError) return cause;
  if (cause instanceof Silence) {
    return failure("ERR_TIMEOUT", `${purpose.store} did not answer in time: ${cause.message}`, purpose, {
      retry: { retryable: true },
    });
  }
  const {
    message,
    code,
    cause: inner,
  } = cause as { message?: string; code?: unknown; cause?: { message?: string; code?: unknown } };
  const reason = String(inner?.code ?? code ?? inner?.message ?? message);
  const certificate = CERTIFICATE.test(reason);
  return failure(
    "ERR_UNAVAILABLE",
    `${purpose.store} cannot be reached: ${reason}${certificate ? "; pass an S3Client that knows the certificate authority as `client`" : ""}`,
    purpose,
    { retry: { retryable: !certificate, noAnswer: true } },
    cause,
  );
}

type Row = [code: ErrorCode, advice?: string | undefined, retry?: RetryHint];

const RETRY: RetryHint = { retryable: true };
const RESIGN: RetryHint = { newSignature: true };
const SECRET =
  "check the credentials; behind nginx set `ignore_invalid_headers off`, since `expires_at` has an underscore";
const CONFLICT = "another write came first";

const BY_CODE: Record<string, Row> = {
  NoSuchBucket: ["ERR_NO_SUCH_BUCKET", "create the bucket, or check name, region and endpoint"],
  InvalidAccessKeyId: ["ERR_CREDENTIALS", "check the access key"],
  SignatureDoesNotMatch: ["ERR_CREDENTIALS", SECRET],
  InvalidToken: ["ERR_CREDENTIALS", "check the session token"],
  ExpiredToken: ["ERR_CREDENTIALS", "the session is over: get new credentials", RESIGN],
  RequestTimeTooSkewed: ["ERR_CLOCK_SKEW", "set the clock", RESIGN],
  RequestExpired: ["ERR_CLOCK_SKEW", "set the clock, or get a new grant", RESIGN],
  // Reads and deletes take it for an answer; a write meets it when what it was to replace is gone.
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
};

const BY_STATUS: Record<number, Row> = {
  401: ["ERR_CREDENTIALS"],
  403: ["ERR_FORBIDDEN"],
  405: ["ERR_UNSUPPORTED"],
  408: ["ERR_TIMEOUT", undefined, RETRY],
  409: ["ERR_CONFLICT", CONFLICT],
  412: ["ERR_CONFLICT", CONFLICT],
  413: ["ERR_TOO_LARGE"],
  429: ["ERR_UNAVAILABLE", undefined, RETRY],
  501: ["ERR_UNSUPPORTED"],
};

export interface Answer {
  status: number;
  /** S3's code, empty without a readable body. */
  code: string;
  message: string;
}

/** What an XML error says. Small and forgiving on purpose: it is read everywhere, proxies' HTML pages included. */
export async function readAnswer(response: Incoming): Promise<Answer> {
  const chunks: string[] = [];
  const decoder = new TextDecoder();
  let size = 0;
  try {
    for (let chunk; (chunk = await response.read()) !== undefined;) {
      size += chunk.byteLength;
      if (size > MAX_ERROR_BYTES) break;
      chunks.push(decoder.decode(chunk, { stream: true }));
    }
  } catch {
    // The status alone has to do.
  }
  response.cancel();
  return parseAnswer(response.status, chunks.join(""));
}

export function parseAnswer(status: number, xml: string): Answer {
  return { status, code: element(xml, "Code"), message: element(xml, "Message") };
}

function element(xml: string, name: string): string {
  const text = new RegExp(`<${name}>([^<]{0,500})`).exec(xml)?.[1] ?? "";
  return text.replace(/&(\w+);/g, (all, entity: string) => XML_ENTITIES[entity] ?? all);
}

/** The error that an answer is. `response` gives the headers that matter. */
export function refusal(answer: Answer, response: Pick<Incoming, "header">, purpose: Purpose): BucketCacheError {
  const { status, code, message } = answer;
  const unsigned = status === 403 && /expired|not (?:yet )?valid/i.test(message);
  let [ours, advice, retry] = BY_CODE[code === "AccessDenied" && unsigned ? "RequestExpired" : code] ??
    BY_STATUS[status] ?? [status >= 500 ? "ERR_UNAVAILABLE" : "ERR_STORE", undefined, status >= 500 ? RETRY : {}];
  const region = response.header("x-amz-bucket-region");
  const misplaced = status < 400 || (status === 400 && /^(?:Authorization.*)?$/.test(code));
  if (region !== undefined && misplaced) advice = `the bucket is in ${region}: set \`region\``;
  else if (status < 400) advice = "redirects are not followed: check endpoint and region";
  else if (ours === "ERR_FORBIDDEN") {
    advice = `allow ${purpose.action}`;
    if (purpose.action === "s3:GetObject") advice += ", and s3:ListBucket, without which absent objects answer 403 too";
  }
  const afterMs = retryAfter(response.header("retry-after"));
  return failure(
    ours,
    `${purpose.store} answered ${status}${code && ` ${code}`}${message && `: ${message}`}${advice ? ` (${advice})` : ""}`,
    purpose,
    { status, storeCode: code || undefined, retry: { ...retry, ...(afterMs !== undefined && { afterMs }) } },
  );
}

function retryAfter(value: string | undefined): number | undefined {
  if (value === undefined) return undefined;
  const wait = /^\d+$/.test(value) ? Number(value) * 1_000 : Date.parse(value) - Date.now();
  return wait > 0 ? wait : undefined;
}
