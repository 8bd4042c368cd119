/** The site of the library's own tests: its page, a presign handler, and a bucket behind a proxy that may misbehave. */
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { createCache, type Cache, type CacheOptions } from "bucketcache";
import { createPresignHandler, toNodeListener, type PresignHandlerOptions } from "bucketcache/handler";
import { s3Store } from "bucketcache/s3";
import { serveFiles } from "../../examples/playground/files.mjs";
import type { Bucket } from "../../test/support/handler.js";
import { signedBy, type Signs } from "../../test/support/signers.js";
import { startProxy, type FaultProxy, type Passed } from "../../test/support/proxy.js";
import { PAGE } from "./setup.js";

export interface Site {
  /** Of the page. */
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

export async function startSite(
  bucket: Bucket,
  options: Partial<PresignHandlerOptions> = {},
  signs: Signs = "keys",
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
  const http: Server = createServer((request, response) => {
    const { pathname } = new URL(request.url ?? "/", "http://localhost");
    if (pathname !== "/presign") void files(pathname, request, response);
    else if (site.isCut) response.destroy();
    else presign(request, response);
  });
  await new Promise<void>((resolve) => http.listen(0, "127.0.0.1", resolve));

  const site: Site = {
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
  };
  return site;
}

/** The handler's own requests (create, complete, abort, list) go through the proxy as well. */
function isOfPage({ headers }: Passed): boolean {
  return headers["sec-fetch-mode"] !== undefined || headers.origin !== undefined;
}
