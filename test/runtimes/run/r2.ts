// Cloudflare R2 as a Worker sees it: its S3 endpoint by the account's name, in the region "auto".
import { request as httpRequest } from "node:http";
import type { AddressInfo } from "node:net";
import {
  fetch as miniflareFetch,
  Response as MiniflareResponse,
  type Request as MiniflareRequest,
  type MiniflareOptions,
} from "miniflare";
import { MemoryBackend } from "../../../src/dev/memory-backend.js";
import { createS3Server } from "../../../src/dev/server.js";
import { Storage } from "../../../src/dev/storage.js";
import type { Config } from "../suite/bench.js";

const ACCOUNT_ID = "0123456789abcdef0123456789abcdef";
const HOST = `${ACCOUNT_ID}.r2.cloudflarestorage.com`;

/** A bucket behind R2's own name, on a server that takes signatures for the region "auto" and no other. */
export async function startR2(bucket: string, credentials: NonNullable<Config["s3"]>["credentials"]) {
  const storage = new Storage(new MemoryBackend(), undefined);
  storage.createBucket(bucket, Date.now());
  const { server } = createS3Server(storage, { ...credentials, region: "auto" });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  let asked = 0;

  /** The same bytes, to another socket: signatures cover the name that the Worker believes to talk to. */
  async function forward(request: MiniflareRequest): Promise<MiniflareResponse> {
    const { protocol, host, pathname, search } = new URL(request.url);
    if (host !== HOST) return miniflareFetch(request);
    if (protocol !== "https:") return new MiniflareResponse("R2 is reached by https alone", { status: 400 });
    asked++;
    const body = Buffer.from(await request.arrayBuffer());
    const headers = { ...Object.fromEntries(request.headers), host, "content-length": body.length };
    return new Promise((resolve, reject) => {
      const options = { host: "127.0.0.1", port, method: request.method, path: pathname + search, headers };
      const outgoing = httpRequest(options, async (incoming) => {
        const chunks = [];
        for await (const chunk of incoming) chunks.push(chunk as Buffer);
        const status = incoming.statusCode ?? 500;
        const init = { status, headers: incoming.headers as Record<string, string> };
        const bodyless = [204, 304].includes(status) || request.method === "HEAD";
        resolve(new MiniflareResponse(bodyless ? null : Buffer.concat(chunks), init));
      });
      outgoing.on("error", reject);
      outgoing.end(body);
    });
  }

  return {
    /** Bindings that a Worker on R2 is deployed with, and the server that its requests really reach. */
    worker: {
      bindings: {
        ACCOUNT_ID,
        R2_ACCESS_KEY_ID: credentials.accessKeyId,
        R2_SECRET_ACCESS_KEY: credentials.secretAccessKey,
      },
      outboundService: forward,
    } satisfies Partial<MiniflareOptions>,
    /** The same bucket from here. Spreads into `s3Store`. */
    config: { bucket, endpoint: `http://127.0.0.1:${port}`, region: "auto", credentials },
    asked: () => asked,
    close: () =>
      new Promise<void>((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
