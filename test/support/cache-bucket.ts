import { createCache, type Cache, type CacheOptions } from "bucketcache";
import { s3Store } from "bucketcache/s3";
import { afterAll, afterEach, beforeAll, beforeEach } from "vitest";
import { makeBucket, type TestBucket } from "./bucket.js";
import { startProxy, type FaultProxy } from "./proxy.js";

/** Bucket, proxy and caches for a file of tests of the whole cache. Each test has a `prefix` of its own. */
export interface CacheBucket {
  readonly bucket: TestBucket;
  readonly proxy: FaultProxy;
  readonly prefix: string;
  /** A cache as another process would have it: nothing is shared but the bucket. Its requests pass the proxy. */
  open(options?: Partial<CacheOptions>): Cache;
  /** Methods of the requests to the store, in order. */
  requestMethods(): string[];
  /** Names an object of this test, for commands of the AWS SDK. */
  locate(key: string): { Bucket: string; Key: string };
}

/** Registers a bucket for the tests of a file, behind a proxy that counts and interferes. */
export function cacheBucket(openBucket: () => Promise<TestBucket> = makeBucket): CacheBucket {
  let bucket: TestBucket;
  let proxy: FaultProxy;
  let caches: Cache[] = [];
  let prefix = "";
  let count = 0;
  beforeAll(async () => {
    bucket = await openBucket();
    proxy = await startProxy(bucket.options.endpoint);
  });
  afterAll(async () => {
    await proxy.close();
    await bucket.remove();
  });
  beforeEach(() => {
    proxy.reset();
    prefix = `test-${++count}/`;
  });
  afterEach(async () => {
    await Promise.all(caches.map((cache) => cache.close()));
    caches = [];
  });
  return {
    get bucket() {
      return bucket;
    },
    get proxy() {
      return proxy;
    },
    get prefix() {
      return prefix;
    },
    open(options = {}) {
      const cache = createCache({
        store: s3Store({ ...bucket.options, endpoint: proxy.endpoint }),
        prefix,
        ...options,
      });
      caches.push(cache);
      return cache;
    },
    requestMethods: () => proxy.requests.map(({ method }) => method),
    locate: (key) => ({ Bucket: bucket.bucket, Key: prefix + key }),
  };
}
