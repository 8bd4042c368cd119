import { createCache, type Cache, type CacheOptions } from "bucketcache";
import { s3Store } from "bucketcache/s3";
import { afterAll, afterEach, beforeAll, beforeEach } from "vitest";
import { makeBucket, type TestBucket } from "./bucket.js";
import { startProxy, type FaultProxy } from "./proxy.js";

/** What a file of tests of the whole cache works with. `prefix` is another for each test. */
export interface CacheBucket {
  readonly bucket: TestBucket;
  readonly proxy: FaultProxy;
  readonly prefix: string;
  /** A cache as another process would have it: nothing is shared but the bucket. Its requests pass the proxy. */
  open(options?: Partial<CacheOptions>): Cache;
  /** What was asked of the store, in order. */
  requestMethods(): string[];
  /** An object of this test's, for commands of the AWS SDK. */
  locate(key: string): { Bucket: string; Key: string };
}

/** A bucket for the tests of a file, behind a proxy that counts and interferes. */
export function cacheBucket(): CacheBucket {
  let bucket: TestBucket;
  let proxy: FaultProxy;
  let caches: Cache[] = [];
  let prefix = "";
  let count = 0;
  beforeAll(async () => {
    bucket = await makeBucket();
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
