/** Grants for one object, handed to those who hold no credentials. */
import type { StoreClock } from "../base/clock.js";
import { codecOfType } from "../entry/decode.js";
import { toSeconds } from "../base/duration.js";
import { formatMetadata, newNonce } from "../entry/entry.js";
import type { BucketSigner, SignableRequest } from "../types.js";
import { plainRead, toRequest } from "./operations.js";
import type { Grant, ObjectStore, PresignOptions } from "../types.js";
import { MAX_SIGNED_SECONDS } from "./limits.js";
import { OCTET_STREAM } from "../base/media-type.js";
import { percentEncode } from "../base/percent.js";

/** Seconds. */
const DEFAULT_LIFE = 300;

/** @throws TypeError for options that cannot be granted. */
export async function presignGrant(
  signer: BucketSigner,
  store: Pick<ObjectStore, "head">,
  clock: StoreClock,
  options: PresignOptions,
  key: string,
): Promise<Grant> {
  const { operation = "read", expiresIn = DEFAULT_LIFE } = options;
  const life = toSeconds(expiresIn, "expiresIn");
  if (life > MAX_SIGNED_SECONDS) throw new TypeError("expiresIn must be at most 7 days: S3 signs for no longer");
  const request = await requestOf(operation, key, options, store, clock);
  options.signal?.throwIfAborted();
  const { method, url, headers, expiresAt } = await signer.sign(request, life);
  return { key, operation, method, url, headers, expiresAt };
}

async function requestOf(
  operation: NonNullable<PresignOptions["operation"]>,
  key: string,
  options: PresignOptions,
  store: Pick<ObjectStore, "head">,
  clock: StoreClock,
): Promise<SignableRequest> {
  const { contentType, filename, size, ttl } = options;
  switch (operation) {
    case "read": {
      const request = toRequest(plainRead(key, await store.head(key, options)));
      const query = { ...request.query };
      if (contentType !== undefined) query["response-content-type"] = contentType;
      if (filename !== undefined) query["response-content-disposition"] = attachment(filename);
      return { ...request, query };
    }
    case "write": {
      if (size !== undefined && (!Number.isSafeInteger(size) || size < 0))
        throw new TypeError("size must be a number of bytes");
      const type = contentType ?? OCTET_STREAM;
      const now = clock.now() / 1_000;
      const metadata = formatMetadata({
        created: Math.floor(now),
        codec: codecOfType(type),
        nonce: newNonce(),
        expiresAt: ttl === undefined || ttl === Infinity ? undefined : now + toSeconds(ttl, "ttl"),
        compressed: false,
      });
      const request = toRequest({
        op: "put",
        key,
        contentType: type,
        metadata,
        size,
        cacheControl: options.cacheControl,
      });
      // Signed, so that nobody adds an encoding that other readers would fail on.
      return { ...request, headers: { ...request.headers, "content-encoding": "identity" } };
    }
    case "delete":
      return toRequest({ op: "delete", key });
    default:
      throw new TypeError(`operation must be "read", "write" or "delete"; got ${String(operation)}`);
  }
}

/** RFC 6266: a plain name for old clients, and the whole one encoded. A name is no path, which MinIO would refuse. */
function attachment(path: string): string {
  const filename = path.replace(/[/\\]/g, "_");
  const plain = filename.replace(/[^\x20-\x7e]|["%]/g, "_");
  const encoded = percentEncode(filename.replace(/[\ud800-\udfff]/gu, "\ufffd"));
  return `attachment; filename="${plain}"; filename*=UTF-8''${encoded}`;
}
