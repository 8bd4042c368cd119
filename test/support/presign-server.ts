import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { toNodeListener, type PresignHandlerOptions } from "bucketcache/handler";
import { presignedStore } from "bucketcache/presigned";
import type { ObjectStore } from "bucketcache";
import { makeHandler, type Bucket } from "./handler.js";

type Requests = { op: string; key: string }[];

/** A handler behind a real HTTP server, and a client's `fetch` that counts. */
export interface PresignServer {
  url: string;
  /** The batches that the handler got, oldest first. */
  batches: Requests[];
  /** Requests that went to the bucket, as `"GET"` or `"PUT"`. */
  sent: string[];
  fetch: typeof globalThis.fetch;
  /** Answers in place of the network, when it returns something. */
  intercept: ((url: URL, init: RequestInit) => Response | Promise<Response> | undefined) | undefined;
  store(options?: { headers?: Record<string, string>; concurrency?: number }): ObjectStore;
  stop(): Promise<void>;
}

export async function startPresignServer(
  bucket: Bucket,
  options: Partial<PresignHandlerOptions> = {},
): Promise<PresignServer> {
  const http: Server = createServer(toNodeListener(makeHandler(bucket, { allowList: true, ...options })));
  await new Promise<void>((resolve) => http.listen(0, "127.0.0.1", resolve));
  const url = `http://127.0.0.1:${(http.address() as AddressInfo).port}/presign`;
  const server: PresignServer = {
    url,
    batches: [],
    sent: [],
    intercept: undefined,
    async fetch(input, init = {}) {
      const to = new URL(String(input));
      if (to.href === url) {
        const text = new TextDecoder().decode(init.body as Uint8Array);
        server.batches.push((JSON.parse(text) as { requests: Requests }).requests);
      } else server.sent.push(String(init.method));
      return (await server.intercept?.(to, init)) ?? fetch(input, init);
    },
    store: (more) => presignedStore({ url, fetch: (input, init) => server.fetch(input, init), ...more }),
    async stop() {
      http.closeAllConnections();
      await new Promise((resolve) => http.close(resolve));
    },
  };
  return server;
}
