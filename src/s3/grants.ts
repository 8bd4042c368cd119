/** Grants for one object, which let others act without credentials. */
import type { StoreClock } from "../base/clock.js";
import { toSeconds } from "../base/duration.js";
import { OCTET_STREAM } from "../base/media-type.js";
import { percentEncode } from "../base/percent.js";
import { codecOfType } from "../entry/decode.js";
import { formatMetadata, newNonce } from "../entry/entry.js";
import type { BucketSigner, Grant, ObjectHead, ObjectStore, PresignOptions, SignableRequest } from "../types.js";
import { failure } from "./failure.js";
import { MAX_SIGNED_SECONDS } from "./limits.js";
import { plainRead, toRequest } from "./operations.js";

const DEFAULT_LIFE_SECONDS = 300;

/** @throws TypeError for options that cannot be granted */
export async function presignGrant(
  signer: BucketSigner,
  store: Pick<ObjectStore, "head">,
  clock: StoreClock,
  options: PresignOptions,
  key: string,
): Promise<Grant> {
  const { operation = "read", expiresIn = DEFAULT_LIFE_SECONDS } = options;
  const lifeSeconds = toSeconds(expiresIn, "expiresIn");
  if (lifeSeconds > MAX_SIGNED_SECONDS) throw new TypeError("expiresIn must be at most 7 days: S3 signs for no longer");
  const request = await requestOf(operation, key, options, store, clock);
  options.signal?.throwIfAborted();
  const { method, url, headers, expiresAt } = await signer.sign(request, lifeSeconds);
  if (expiresAt * 1_000 <= clock.now()) {
    throw failure("ERR_CREDENTIALS", "the credentials have ended, and a grant would end with them: get new ones", {
      key,
    });
  }
  return { key, operation, method, url, headers, expiresAt };
}

async function requestOf(
  operation: Grant["operation"],
  key: string,
  options: PresignOptions,
  store: Pick<ObjectStore, "head">,
  clock: StoreClock,
): Promise<SignableRequest> {
  switch (operation) {
    case "read":
      return readRequest(key, await store.head(key, options), options);
    case "write":
      return writeRequest(key, options, clock.now() / 1_000);
    case "delete":
      return toRequest({ op: "delete", key });
    default:
      throw new TypeError(`operation must be "read", "write" or "delete"; got ${String(operation)}`);
  }
}

function readRequest(key: string, head: ObjectHead | undefined, options: PresignOptions): SignableRequest {
  const { contentType, filename } = options;
  const request = toRequest(plainRead(key, head));
  const query = { ...request.query };
  if (contentType !== undefined) query["response-content-type"] = contentType;
  if (filename !== undefined) query["response-content-disposition"] = attachment(filename);
  return { ...request, query };
}

function writeRequest(key: string, options: PresignOptions, nowSeconds: number): SignableRequest {
  const { contentType = OCTET_STREAM, size, ttl, cacheControl } = options;
  if (size !== undefined && (!Number.isSafeInteger(size) || size < 0)) {
    throw new TypeError("size must be a number of bytes");
  }
  const metadata = formatMetadata({
    created: Math.floor(nowSeconds),
    codec: codecOfType(contentType),
    nonce: newNonce(),
    expiresAt: ttl === undefined || ttl === Infinity ? undefined : nowSeconds + toSeconds(ttl, "ttl"),
    compressed: false,
  });
  const request = toRequest({ op: "put", key, contentType, metadata, size, cacheControl });
  // Signed, so that nobody adds an encoding that makes other readers fail.
  return { ...request, headers: { ...request.headers, "content-encoding": "identity" } };
}

/**
 * Returns a `Content-Disposition` with a plain name for old clients, and with the whole name encoded (RFC 6266, section
 * 4.3). Slashes are left out, since MinIO refuses paths.
 */
function attachment(path: string): string {
  const filename = path.replace(/[/\\]/g, "_");
  const plain = filename.replace(/[^\x20-\x7e]|["%]/g, "_");
  const encoded = percentEncode(filename.replace(/[\ud800-\udfff]/gu, "\ufffd"));
  return `attachment; filename="${plain}"; filename*=UTF-8''${encoded}`;
}
