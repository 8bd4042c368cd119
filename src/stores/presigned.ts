/**
 * The entries of a bucket without credentials: requests are signed by a presign handler, or have been signed before.
 *
 * @module bucketcache/presigned
 */
import { StoreClock } from "../base/clock.js";
import { lazy, preload } from "../base/lazy.js";
import type { BucketCacheError } from "../errors.js";
import { limitsOf, LIMITS } from "../s3/retry.js";
import type { Duration, Grant, ObjectStore } from "../types.js";

/** Options of {@link presignedStore}: the address of a handler, or grants. */
export type PresignedStoreOptions =
  | {
      /** Address of the presign handler; relative to the page, where there is one. */
      url: string;
      /** Headers for the handler, a token say; a function is called for each batch. Cookies go along as `fetch` sends them. */
      headers?: Record<string, string> | (() => Record<string, string> | Promise<Record<string, string>>);
      /**
       * Takes the place of `fetch`, towards the handler and the bucket.
       *
       * @default globalThis.fetch
       */
      fetch?: typeof globalThis.fetch;
      /**
       * Longest wait of each attempt for the beginning of an answer, of the bucket or of the handler.
       *
       * @default "10s"
       */
      timeout?: Duration;
      /**
       * Number of attempts of a request, the first included.
       *
       * @default 3
       */
      attempts?: number;
      /**
       * Parts of an upload in flight at once.
       *
       * @default 4
       */
      concurrency?: number;
    }
  | {
      /** Grants that `cache.presign` returned elsewhere. */
      grants: readonly Grant[];
      /**
       * Takes the place of `fetch`.
       *
       * @default globalThis.fetch
       */
      fetch?: typeof globalThis.fetch;
      /**
       * Longest wait of each attempt for the beginning of an answer, of the bucket or of the handler.
       *
       * @default "10s"
       */
      timeout?: Duration;
      /**
       * Number of attempts of a request, the first included.
       *
       * @default 3
       */
      attempts?: number;
    };

/**
 * Makes a store for pages and other clients without credentials: the bytes go straight to and from the bucket. With
 * `url`, a presign handler signs each request that its rules allow. With `grants`, only the granted requests work.
 *
 * The handler makes the metadata of an entry itself. So a `put` of metadata that is not an entry's, or with a
 * `Cache-Control` of its own, is `ERR_UNSUPPORTED`.
 *
 * @example
 * ```ts
 * import { createCache } from "bucketcache";
 * import { presignedStore } from "bucketcache/presigned";
 *
 * const store = presignedStore({ url: "https://app.example.com/api/presign" }); // in a page "/api/presign"
 * const cache = createCache({ store, prefix: "cache/" });
 * ```
 *
 * @throws TypeError for ill-formed options
 */
export function presignedStore(options: PresignedStoreOptions): ObjectStore {
  return "grants" in (options ?? {}) ? storeOfGrants(options as GrantsOptions) : storeOfHandler(options as UrlOptions);
}

type UrlOptions = Extract<PresignedStoreOptions, { url: string }>;
type GrantsOptions = Extract<PresignedStoreOptions, { grants: unknown }>;

/** Runs work on the store itself, which is loaded when it is first needed. */
type OnStore<S> = <T>(work: (store: S) => Promise<T>) => Promise<T>;

function storeOfGrants(options: GrantsOptions): ObjectStore {
  const { grants, fetch } = options;
  if (!Array.isArray(grants)) throw new TypeError("grants must be a list of what cache.presign returned");
  for (const grant of grants) {
    const { key, operation, method, url, headers, expiresAt } = (grant ?? {}) as Grant;
    if (![key, operation, method, url].every((text) => typeof text === "string") || !headers || !(expiresAt > 0)) {
      throw new TypeError("grants must be what cache.presign returned, as it was");
    }
  }
  const clock = new StoreClock();
  const limits = limitsOf(options, LIMITS);
  const limitations: BucketCacheError[] = [];
  return loadedLater(
    clock,
    lazy(async () => {
      const { grantStore } = await import("../presigned/grant-store.js");
      return grantStore(grants, { fetch, limits, clock, limitations });
    }),
    limitations,
  );
}

function storeOfHandler(options: UrlOptions): ObjectStore {
  const { concurrency } = options ?? {};
  const base = (globalThis as { location?: { href?: string } }).location?.href;
  let url: string;
  try {
    url = new URL(options.url, base).href;
  } catch {
    throw new TypeError('presignedStore needs the url of a presign handler, such as "/api/presign", or grants');
  }
  if (concurrency !== undefined && !(Number.isSafeInteger(concurrency) && concurrency > 0)) {
    throw new TypeError(`concurrency must be a whole number of at least 1; got ${String(concurrency)}`);
  }
  const clock = new StoreClock();
  const limits = limitsOf(options, LIMITS);
  const limitations: BucketCacheError[] = [];
  const onStore = lazy(async () => {
    const { handlerStore } = await import("../presigned/handler-store.js");
    return handlerStore(url, { ...options, limits, clock, limitations });
  });
  const prepare = (keys: readonly string[]): void => {
    onStore<void>(async (store) => store.prepare(keys)).catch(() => undefined);
  };
  return Object.assign(loadedLater(clock, onStore, limitations), {
    prepare,
    deleteMany: (keys, options) => onStore((store) => store.deleteMany(keys, options)),
    presign: (key, options) => onStore((store) => store.presign(key, options)),
  } satisfies Partial<ObjectStore>);
}

/** Makes the members that every store has, on a store that is loaded when first needed. */
function loadedLater(
  clock: StoreClock,
  onStore: OnStore<ObjectStore>,
  limitations: readonly BucketCacheError[],
): ObjectStore {
  preload(onStore);
  const store: ObjectStore = {
    name: "presigned",
    get: (key, options) => onStore((store) => store.get(key, options)),
    head: (key, options) => onStore((store) => store.head(key, options)),
    put: (key, body, options) => onStore((store) => store.put(key, body, options)),
    delete: (key, options) => onStore((store) => store.delete(key, options)),
    now: () => (clock.known ? clock.now() : undefined),
    stampsEntries: true,
    limitations,
    async *list(prefix, options) {
      yield* await onStore(async (store) => store.list(prefix, options));
    },
  };
  return store;
}
