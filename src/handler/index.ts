/**
 * Lets pages and other clients without credentials work on the entries of a bucket, under the rules that a server sets.
 *
 * @module bucketcache/handler
 */
import { toSeconds } from "../base/duration.js";
import type { ErrorCode } from "../errors.js";
import { answer } from "./answer.js";
import { parseBatch, readText } from "./messages.js";
import { checkOrigins, corsHeaders, isWelcome, preflight } from "./origin.js";
import { BatchRefused, type AuthorizeContext, type Rules } from "./rules.js";
import { Uploads } from "./uploads.js";
import { timeOf } from "../base/clock.js";
import { objectKey } from "../data/key.js";
import { forEachPooled } from "../base/pool.js";
import { Malformed, MAX_BATCH, MAX_REQUEST_BYTES, VERSION, type PresignResult } from "../presigned/protocol.js";
import type { Duration, ObjectStore } from "../types.js";

export { toNodeListener } from "./node.js";
export type { AuthorizeContext };

/** Options of {@link createPresignHandler}. */
export interface PresignHandlerOptions {
  /** An `s3Store`: it holds the credentials that sign. */
  store: ObjectStore;
  /**
   * Asked before each grant, each part too. Only `true` grants; an exception denies. An exception with a `status` of
   * 401 or 429 answers the whole batch with that status.
   */
  authorize: (context: AuthorizeContext) => boolean | Promise<boolean>;
  /** Object keys outside it are refused: give the cache's own. Default: `""`, which confines nothing. */
  prefix?: string;
  /** Largest object in bytes, also when uploaded in parts. Default: 1 GiB. */
  maxBytes?: number;
  /** Longest life of an entry; with it, every write must name its TTL. Default: no limit. */
  maxTtl?: Duration;
  /** Life of a grant, at most 7 days; it ends earlier when the signing credentials do. Default: 5 minutes. */
  expiresIn?: Duration;
  /** Most requests in one batch. Default: 256. */
  maxBatch?: number;
  /** Origins of pages that may ask, beside the handler's own, such as `"https://app.example.com"`. */
  allowedOrigins?: readonly string[];
  /** Content types that may be written, such as `"application/json"` or `"image/*"`. Default: all. */
  contentTypes?: readonly string[];
  /** Whether keys may be listed, where `authorize` agrees. Default: false. */
  allowList?: boolean;
}

const DEFAULT_LIFE = 300;
const LONGEST_LIFE = 604_800;
const DEFAULT_MAX_BYTES = 2 ** 30;

/**
 * A fetch handler that grants access to single objects by presigned requests (`docs/presign-protocol.md`). Runs on any
 * runtime; `toNodeListener` adapts it to Node and Express.
 *
 * @throws TypeError for a store that cannot sign, and for ill-formed options.
 */
export function createPresignHandler(options: PresignHandlerOptions): (request: Request) => Promise<Response> {
  const { rules, maxBatch, origins } = check(options);

  return async (request) => {
    const welcome = isWelcome(request, origins);
    const fail = (status: number, code: ErrorCode, message: string, extra: object = {}): Response =>
      json(status, { v: VERSION, error: { code, message, ...extra } }, welcome ? corsHeaders(request) : {});

    if (!welcome) return fail(403, "ERR_FORBIDDEN", "this origin may not ask here (allowedOrigins)");
    if (request.method === "OPTIONS") return preflight(request);
    if (request.method !== "POST") return fail(405, "ERR_PROTOCOL", "this is a presign handler: use POST");
    const type = request.headers.get("content-type") ?? "";
    const encoding = request.headers.get("content-encoding") ?? "identity";
    if (!/^application\/json\s*(?:;|$)/i.test(type) || encoding !== "identity") {
      return fail(415, "ERR_PROTOCOL", "the body must be application/json, not encoded");
    }
    if (request.bodyUsed) return fail(400, "ERR_PROTOCOL", "the body was read before it came here");

    let requests: unknown[];
    try {
      // A clone, so that `authorize` gets the request as it came: it may hash the body, or know the object.
      const text = await readText(request.clone().body, MAX_REQUEST_BYTES);
      if (text === undefined) {
        // The other half of the clone would hold the connection.
        request.body?.cancel().catch(() => {});
        return fail(413, "ERR_TOO_LARGE", `the body exceeds ${MAX_REQUEST_BYTES} bytes`);
      }
      requests = parseBatch(JSON.parse(text));
    } catch (error) {
      const message = error instanceof Malformed ? error.message : "the body is not JSON in UTF-8";
      return fail(400, "ERR_PROTOCOL", message);
    }
    if (requests.length > maxBatch) {
      return fail(413, "ERR_TOO_LARGE", `more than ${maxBatch} requests in a batch`, { maxBatch });
    }

    const results = new Array<PresignResult>(requests.length);
    try {
      await forEachPooled(requests, async (each, index) => {
        results[index] = await answer(rules, request, each);
      });
    } catch (error) {
      const unknown = error instanceof BatchRefused && error.status === 401;
      if (unknown) return fail(401, "ERR_CREDENTIALS", "sign in first");
      return fail(429, "ERR_UNAVAILABLE", "too many requests");
    }
    return json(200, { v: VERSION, now: rules.clock.now() / 1_000, results }, corsHeaders(request));
  };
}

function json(status: number, value: unknown, headers: Record<string, string>): Response {
  return new Response(JSON.stringify(value), {
    status,
    headers: {
      "content-type": "application/json",
      "cache-control": "no-store",
      "x-content-type-options": "nosniff",
      ...(status === 405 && { allow: "POST, OPTIONS" }),
      ...headers,
    },
  });
}

function check(options: PresignHandlerOptions): { rules: Rules; maxBatch: number; origins: ReadonlySet<string> } {
  const { store, authorize, prefix = "", contentTypes, allowedOrigins = [] } = options;
  const signer = typeof store?.get === "function" ? store.signer : undefined;
  if (signer === undefined) {
    throw new TypeError(
      `createPresignHandler needs a store that signs: s3Store(…), also of a startDevServer() in development; got ${store?.name ?? String(store)}`,
    );
  }
  if (typeof authorize !== "function") {
    throw new TypeError("createPresignHandler needs authorize, a function that says true for what may be granted");
  }
  if (typeof prefix !== "string") throw new TypeError("prefix must be a string");
  if (prefix !== "") objectKey("", `${prefix}x`);
  const expiresIn = toSeconds(options.expiresIn ?? DEFAULT_LIFE, "expiresIn");
  if (expiresIn > LONGEST_LIFE) throw new TypeError("expiresIn must be at most 7 days: S3 signs for no longer");
  const maxTtl = options.maxTtl === undefined ? Infinity : toSeconds(options.maxTtl, "maxTtl");
  for (const [name, list] of Object.entries({ contentTypes: contentTypes ?? [], allowedOrigins })) {
    if (!Array.isArray(list) || list.some((entry) => typeof entry !== "string")) {
      throw new TypeError(`${name} must be an array of strings`);
    }
  }
  return {
    rules: {
      store,
      signer,
      clock: timeOf(store),
      uploads: new Uploads(store, prefix),
      authorize,
      prefix,
      maxBytes: count(options.maxBytes, "maxBytes", DEFAULT_MAX_BYTES),
      maxTtl: maxTtl === Infinity ? undefined : maxTtl,
      expiresIn,
      contentTypes,
      allowList: options.allowList === true,
    },
    maxBatch: count(options.maxBatch, "maxBatch", MAX_BATCH),
    origins: checkOrigins(allowedOrigins),
  };
}

function count(value: number | undefined, option: string, fallback: number): number {
  if (value === undefined) return fallback;
  if (value === Infinity || (Number.isSafeInteger(value) && value > 0)) return value;
  throw new TypeError(`${option} must be a positive whole number; got ${String(value)}`);
}
