/**
 * Lets pages and other clients without credentials work on the entries of a bucket, under the rules that a server sets.
 *
 * @module bucketcache/handler
 */
import { timeOf } from "../base/clock.js";
import { toSeconds } from "../base/duration.js";
import { checkPrefix } from "../data/key.js";
import { MAX_BATCH } from "../presigned/protocol.js";
import { MAX_SIGNED_SECONDS } from "../s3/limits.js";
import type { BucketSigner, Duration, ObjectStore } from "../types.js";
import { checkOrigins } from "./origin.js";
import { respond, type HandlerSettings } from "./respond.js";
import type { AuthorizeContext } from "./rules.js";
import { HandlerTime } from "./time.js";
import { Uploads } from "./uploads.js";

export { toNodeListener } from "./node.js";
export type { AuthorizeContext };

/** Options of {@link createPresignHandler}. */
export interface PresignHandlerOptions {
  /** An `s3Store`: it holds the credentials that sign. */
  store: ObjectStore;
  /**
   * Decides about each grant, and is asked again for each part of an upload. Only `true` grants; an exception denies. An
   * exception with a `status` of 401 or 429 answers the whole batch with that status.
   */
  authorize: (context: AuthorizeContext) => boolean | Promise<boolean>;
  /**
   * Prefix of all object keys that may be granted; give the cache's own. The empty prefix confines nothing.
   *
   * @default ""
   */
  prefix?: string;
  /**
   * Largest object in bytes, also when uploaded in parts.
   *
   * @default 1_073_741_824 (1 GiB)
   */
  maxBytes?: number;
  /**
   * Longest life of an entry. With this option, every write must name its TTL.
   *
   * @default Infinity
   */
  maxTtl?: Duration;
  /**
   * Life of a grant, at most 7 days. A grant ends earlier when the signing credentials do.
   *
   * @default "5m"
   */
  expiresIn?: Duration;
  /**
   * Number of requests that one batch may hold.
   *
   * @default 256
   */
  maxBatch?: number;
  /**
   * Origins of pages that may ask, beside the handler's own, such as `"https://app.example.com"`.
   *
   * @default []
   */
  allowedOrigins?: readonly string[];
  /**
   * Content types that may be written, such as `"application/json"` or `"image/*"`.
   *
   * @default all
   */
  contentTypes?: readonly string[];
  /**
   * Whether keys may be listed, where `authorize` agrees.
   *
   * @default false
   */
  allowList?: boolean;
}

const DEFAULT_EXPIRES_IN_SECONDS = 300;
const DEFAULT_MAX_BYTES = 2 ** 30;

/**
 * Creates a fetch handler that grants access to single objects by presigned requests (`docs/presign-protocol.md`). It
 * runs on any runtime; `toNodeListener` adapts it to Node and Express.
 *
 * @example
 * ```ts
 * import { createPresignHandler } from "bucketcache/handler";
 * import { s3Store } from "bucketcache/s3";
 *
 * const handler = createPresignHandler({
 *   store: s3Store({ bucket: "my-bucket", region: "eu-west-1" }),
 *   prefix: "cache/",
 *   authorize: ({ request, operation }) => operation === "read" || request.headers.has("authorization"),
 * });
 * export default { fetch: handler };
 * ```
 *
 * @throws TypeError for a store that cannot sign, and for ill-formed options
 */
export function createPresignHandler(options: PresignHandlerOptions): (request: Request) => Promise<Response> {
  const settings = checkOptions(options);
  return (request) => respond(settings, request);
}

function checkOptions(options: PresignHandlerOptions): HandlerSettings {
  const { store, authorize, contentTypes, allowedOrigins = [], prefix = "" } = options;
  const { expiresIn = DEFAULT_EXPIRES_IN_SECONDS, maxTtl = Infinity } = options;
  const { maxBytes = DEFAULT_MAX_BYTES, maxBatch = MAX_BATCH } = options;
  const signer = signerOf(store);
  if (typeof authorize !== "function") {
    throw new TypeError("createPresignHandler needs authorize, a function that says true for what may be granted");
  }
  checkTexts(contentTypes ?? [], "contentTypes");
  checkTexts(allowedOrigins, "allowedOrigins");
  checkPrefix(prefix);
  const expiresInSeconds = toSeconds(expiresIn, "expiresIn");
  if (expiresInSeconds > MAX_SIGNED_SECONDS) {
    throw new TypeError("expiresIn must be at most 7 days: S3 signs for no longer");
  }
  const clock = timeOf(store);
  const maxTtlSeconds = toSeconds(maxTtl, "maxTtl");
  return {
    rules: {
      store,
      signer,
      clock,
      uploads: new Uploads(store, prefix),
      authorize,
      prefix,
      maxBytes: checkCount(maxBytes, "maxBytes"),
      maxTtlSeconds: maxTtlSeconds === Infinity ? undefined : maxTtlSeconds,
      expiresInSeconds,
      contentTypes,
      allowList: options.allowList === true,
    },
    maxBatch: checkCount(maxBatch, "maxBatch"),
    origins: checkOrigins(allowedOrigins),
    time: new HandlerTime(store, clock, prefix),
  };
}

function signerOf(store: ObjectStore | undefined): BucketSigner {
  const signer = typeof store?.get === "function" ? store.signer : undefined;
  if (signer !== undefined) return signer;
  throw new TypeError(
    `createPresignHandler needs a store that signs: s3Store(…), also of a startDevServer() in development; got ${store?.name ?? String(store)}`,
  );
}

function checkTexts(list: readonly string[], option: string): void {
  if (!Array.isArray(list) || list.some((entry) => typeof entry !== "string")) {
    throw new TypeError(`${option} must be an array of strings`);
  }
}

function checkCount(value: number, option: string): number {
  if (value === Infinity || (Number.isSafeInteger(value) && value > 0)) return value;
  throw new TypeError(`${option} must be a positive whole number; got ${String(value)}`);
}
