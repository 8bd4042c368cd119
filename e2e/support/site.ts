/** The site of the library's own tests: its page, a presign handler, and a bucket behind a proxy that may misbehave. */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { HeadObjectCommand, ListMultipartUploadsCommand } from "@aws-sdk/client-s3";
import { afterAll, beforeAll, beforeEach } from "vitest";
import { createCache, type Cache, type CacheOptions } from "bucketcache";
import { createPresignHandler, toNodeListener, type PresignHandlerOptions } from "bucketcache/handler";
import { s3Store } from "bucketcache/s3";
import { serveFiles } from "../../examples/playground/files.mjs";
import { makeBucket, type TestBucket } from "../../test/support/bucket.js";
import type { Bucket } from "../../test/support/handler.js";
import { signedBy, type Signs } from "../../test/support/signers.js";
import { startProxy, type FaultProxy, type Passed } from "../../test/support/proxy.js";
import { PAGE } from "./setup.js";

export interface Site {
  /** Address of the page. */
  url: string;
  /** In front of the bucket, as pages see it. */
  proxy: FaultProxy;
  /** The batches that the handler got, oldest first. */
  batches: { op: string; key: string }[][];
  /** Decides what the handler grants; replace it at any time. */
  authorize: PresignHandlerOptions["authorize"];
  /** Whether the handler's answers are lost on their way. */
  isCut: boolean;
  /** The same entries, by Node and with credentials, straight to the bucket. */
  cache(options?: Partial<CacheOptions>): Cache;
  /** Requests of pages for objects since the last `reset`, without preflights: `"GET cache/key"`. */
  sent(method?: string): string[];
  /** Forgets requests and batches; everything is granted and in order. */
  reset(): void;
  close(): Promise<void>;
}

export interface SiteOptions extends Partial<PresignHandlerOptions> {
  signs?: Signs;
}

/** A site and its bucket, which all tests of a file or of a `describe` use. */
export interface SharedSite {
  site: Site;
  bucket: TestBucket;
  /** Whether the bucket holds an entry of this key. */
  hasObject(key: string): Promise<boolean>;
  /** Uploads of this key that were begun, and neither completed nor aborted. */
  countOpenUploads(key: string): Promise<number>;
}

/** Registers the start and the end of a site on a bucket of its own. It is reset before each test. */
export function sharedSite(options: SiteOptions = {}, open: () => Promise<TestBucket> = makeBucket): SharedSite {
  const [site, bucket] = [{} as Site, {} as TestBucket];
  beforeAll(async () => {
    Object.assign(bucket, await open());
    await startSite(bucket.options, options, site);
  });
  afterAll(async () => {
    await site.close?.();
    await bucket.remove?.();
  });
  beforeEach(() => site.reset());
  return {
    site,
    bucket,
    hasObject: (key) =>
      bucket.client.send(new HeadObjectCommand({ Bucket: bucket.bucket, Key: `cache/${key}` })).then(
        () => true,
        () => false,
      ),
    async countOpenUploads(key) {
      // MinIO lists the uploads of one object, by its whole key.
      const command = new ListMultipartUploadsCommand({ Bucket: bucket.bucket, Prefix: `cache/${key}` });
      return (await bucket.client.send(command)).Uploads?.length ?? 0;
    },
  };
}

/** Runs work with a further site on the same bucket, whose handler has other options. */
export async function withSite(
  bucket: TestBucket,
  options: SiteOptions,
  work: (site: Site) => Promise<void>,
): Promise<void> {
  const site = await startSite(bucket.options, options);
  try {
    await work(site);
  } finally {
    await site.close();
  }
}

/** Starts a site. Its members are put into `site`, for those who need the object before it is started. */
async function startSite(
  bucket: Bucket,
  { signs = "keys", ...options }: SiteOptions,
  site: Site = {} as Site,
): Promise<Site> {
  const proxy = await startProxy(bucket.endpoint);
  const caches: Cache[] = [];
  const files = serveFiles({ "/": `${PAGE}/` });
  const handler = createPresignHandler({
    store: s3Store(signedBy(signs, { ...bucket, endpoint: proxy.endpoint })),
    allowList: true,
    ...options,
    authorize: (context) => site.authorize(context),
  });
  const presign = toNodeListener(async (request) => {
    if (request.method === "POST") {
      const { requests } = (await request.clone().json()) as { requests: Site["batches"][number] };
      site.batches.push(requests);
    }
    return handler(request);
  });
  const http = createServer((request, response) => {
    const { pathname } = new URL(request.url ?? "/", "http://localhost");
    if (pathname !== "/presign") void files(pathname, request, response);
    else if (site.isCut) response.destroy();
    else presign(request, response);
  });
  await new Promise<void>((resolve) => http.listen(0, "127.0.0.1", resolve));

  return Object.assign<Site, Site>(site, {
    url: `http://127.0.0.1:${(http.address() as AddressInfo).port}/`,
    proxy,
    batches: [],
    authorize: () => true,
    isCut: false,
    cache(more) {
      const cache = createCache({ store: s3Store(bucket), memory: false, ...more });
      caches.push(cache);
      return cache;
    },
    sent: (method) =>
      proxy.requests
        .filter((request) => request.method !== "OPTIONS" && isOfPage(request))
        .filter((request) => method === undefined || request.method === method)
        .map((request) => `${request.method} ${request.path.slice(bucket.bucket.length + 2)}`),
    reset() {
      proxy.reset();
      site.batches.length = 0;
      site.authorize = () => true;
      site.isCut = false;
    },
    async close() {
      await Promise.all(caches.map((cache) => cache.close()));
      http.closeAllConnections();
      await new Promise((resolve) => http.close(resolve));
      await proxy.close();
    },
  });
}

/** The handler's own requests (create, complete, abort, list) go through the proxy as well. */
function isOfPage({ headers }: Passed): boolean {
  return headers["sec-fetch-mode"] !== undefined || headers.origin !== undefined;
}
