/** Errors of this library, without secrets. */
import { BucketCacheError, type ErrorCode, type ErrorDetails } from "../errors.js";
import { Silence } from "./watchdog.js";

/** The aim of a request, for the permission that a message names and for the key that an error carries. */
export interface Purpose {
  store: string;
  key?: string | undefined;
  /** The IAM action. https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazons3.html */
  action: string;
}

/** Makes an error. Signatures, credentials and tokens in its message and its cause are left out. */
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

const CERTIFICATE = /CERT|SELF_SIGNED|UNABLE_TO_VERIFY/;

/** Makes the error of a transport that brought no answer, or one that broke off. */
export function networkFailure(cause: unknown, purpose: Purpose): BucketCacheError {
  if (cause instanceof BucketCacheError) return cause;
  if (cause instanceof Silence) {
    const message = `${purpose.store} did not answer in time: ${cause.message}`;
    return failure("ERR_TIMEOUT", message, purpose, { retry: { retryable: true } });
  }
  const { message, code, cause: inner } = cause as { message?: string; code?: unknown; cause?: unknown };
  const { code: innerCode, message: innerMessage } = (inner ?? {}) as { code?: unknown; message?: string };
  const reason = String(innerCode ?? code ?? innerMessage ?? message);
  const isCertificate = CERTIFICATE.test(reason);
  const advice = isCertificate ? "; use a `client` (an S3Client) that knows the certificate authority" : "";
  const retry = { retryable: !isCertificate, noAnswer: true };
  return failure(
    "ERR_UNAVAILABLE",
    `${purpose.store} cannot be reached: ${reason}${advice}`,
    purpose,
    { retry },
    cause,
  );
}

function redact(text: string): string {
  return text.replace(
    /(x-amz-(?:signature|credential|security-token)|authorization)(["']?\s*[=:]\s*)[^&\s"'<>)]+/gi,
    "$1$2…",
  );
}

/** Copies the redacted text of a cause and of its causes, since some runtimes put the whole URL into their errors. */
function safeCause(error: unknown): Error {
  const { name, message, code, cause } = error as { name?: string; message?: string; code?: unknown; cause?: unknown };
  const safe = new Error(
    redact(String(message ?? error)),
    cause === undefined ? undefined : { cause: safeCause(cause) },
  );
  if (typeof name === "string") safe.name = name;
  return typeof code === "string" ? Object.assign(safe, { code }) : safe;
}
