import { once } from "node:events";
import { createServer, request as httpRequest, type RequestListener, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { fileURLToPath } from "node:url";
import { createCache } from "bucketcache";
import { toNodeListener } from "bucketcache/handler";
import { presignedStore } from "bucketcache/presigned";
import { build } from "esbuild";
import { Miniflare } from "miniflare";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { createApp as createExpressApp } from "../examples/handlers/express.mjs";
import { createApp as createHonoServer } from "../examples/handlers/hono-node.mjs";
import { createApp as createNodeServer } from "../examples/handlers/node.mjs";
import { devBucket, post, type Bucket } from "./support/handler.js";

const TOKEN = "letmein";
const root = (path: string) => fileURLToPath(new URL(`../${path}`, import.meta.url));

let bucket: Bucket & { stop(): Promise<void> };
beforeAll(async () => {
  bucket = await devBucket();
});
afterAll(async () => bucket.stop());

async function listen(app: Server | RequestListener): Promise<{ origin: string; stop(): Promise<void> }> {
  const server = typeof app === "function" ? createServer(app) : app;
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async stop() {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
}

/** Does with a handler what a page does, and expects the answers that all of the examples give. */
async function expectHandlerToWork(url: string, custom?: typeof fetch): Promise<void> {
  const store = (token: string) =>
    presignedStore({ url, headers: { authorization: `Bearer ${token}` }, ...(custom && { fetch: custom }) });
  const cache = createCache({ store: store(TOKEN), memory: false });
  const keys = Array.from({ length: 60 }, (_, i) => `shared/${"k".repeat(200)}${i}`);
  await cache.setMany(keys.map((key) => ({ key, value: { key }, ttl: "1h" })));
  expect(await cache.getMany(keys)).toEqual(keys.map((key) => ({ key })));
  await expect(cache.set("private/k", 1, { ttl: "1h" })).rejects.toMatchObject({ code: "ERR_FORBIDDEN" });
  await expect(createCache({ store: store("wrong") }).get("shared/k")).rejects.toMatchObject({ code: "ERR_FORBIDDEN" });
  await cache.deleteMany(keys);
}

describe("the examples of handlers", () => {
  test.each<[string, () => Server | RequestListener]>([
    ["plain Node", () => createNodeServer(bucket, TOKEN)],
    ["Hono on Node", () => createHonoServer(bucket, TOKEN)],
    ["Express, after express.json()", () => createExpressApp(bucket, TOKEN) as RequestListener],
  ])("%s", async (_, make) => {
    const { origin, stop } = await listen(make());
    try {
      await expectHandlerToWork(`${origin}/api/presign`);
      const preflight = { method: "OPTIONS", headers: { origin, "access-control-request-method": "POST" } };
      expect((await fetch(`${origin}/api/presign`, preflight)).status).toBe(204);
      const foreign = { method: "OPTIONS", headers: { origin: "https://evil.test" } };
      expect((await fetch(`${origin}/api/presign`, foreign)).status).toBe(403);
    } finally {
      await stop();
    }
  });

  test("a Next.js route handler", async () => {
    vi.stubEnv("S3_BUCKET", bucket.bucket);
    vi.stubEnv("S3_ENDPOINT", bucket.endpoint);
    vi.stubEnv("AWS_ACCESS_KEY_ID", bucket.credentials.accessKeyId);
    vi.stubEnv("AWS_SECRET_ACCESS_KEY", bucket.credentials.secretAccessKey);
    vi.stubEnv("TOKEN", TOKEN);
    try {
      const { OPTIONS, POST } = await import("../examples/handlers/next-route.mjs");
      const url = "https://app.test/api/presign";
      await expectHandlerToWork(url, (input, init) =>
        String(input) === url ? POST(new Request(url, init)) : fetch(input, init),
      );
      const preflight = new Request(url, { method: "OPTIONS", headers: { origin: "https://app.test" } });
      expect((await OPTIONS(preflight)).status).toBe(204);
    } finally {
      vi.unstubAllEnvs();
    }
  });

  test("Hono on Workers, in workerd without nodejs_compat", { timeout: 60_000 }, async () => {
    const { outputFiles } = await build({
      entryPoints: [root("examples/handlers/hono-worker.mjs")],
      alias: { "bucketcache/handler": root("src/handler/index.ts"), "bucketcache/s3": root("src/stores/s3.ts") },
      external: ["@aws-sdk/*", "node:*"],
      bundle: true,
      write: false,
      format: "esm",
      platform: "neutral",
      mainFields: ["module", "main"],
      conditions: ["workerd"],
      target: "es2022",
    });
    const worker = new Miniflare({
      modules: [{ type: "ESModule", path: "worker.js", contents: outputFiles[0]!.text }],
      compatibilityDate: "2026-01-01",
      bindings: {
        S3_ENDPOINT: bucket.endpoint,
        S3_BUCKET: bucket.bucket,
        S3_ACCESS_KEY_ID: bucket.credentials.accessKeyId,
        S3_SECRET_ACCESS_KEY: bucket.credentials.secretAccessKey,
        TOKEN,
      },
    });
    try {
      const url = "https://worker.test/api/presign";
      const dispatch = async (input: unknown, init: RequestInit | undefined): Promise<Response> =>
        (await worker.dispatchFetch(String(input), { ...init, signal: null } as never)) as never;
      await expectHandlerToWork(url, (input, init) =>
        String(input) === url ? dispatch(input, init) : fetch(input, init),
      );
    } finally {
      await worker.dispose();
    }
  });
});

describe("toNodeListener", () => {
  const echo = toNodeListener(async (request) =>
    Response.json({
      url: request.url,
      method: request.method,
      type: request.headers.get("content-type"),
      body: await request.text(),
    }),
  );
  const send = async (app: Server | RequestListener, path: string, init: RequestInit = {}) => {
    const { origin, stop } = await listen(app);
    try {
      const response = await fetch(origin + path, init);
      return { origin, response, text: await response.text() };
    } finally {
      await stop();
    }
  };

  test("passes method, URL, headers and body on, and the whole answer back", async () => {
    const init = { method: "POST", body: "grüße", headers: { "content-type": "text/plain" } };
    const { origin, text } = await send(createServer(echo), "/a%20b?c=d", init);
    expect(JSON.parse(text)).toEqual({ url: `${origin}/a%20b?c=d`, method: "POST", type: "text/plain", body: "grüße" });
  });

  test("does not believe forwarding headers", async () => {
    const headers = { "x-forwarded-host": "evil.test", "x-forwarded-proto": "https", forwarded: "host=evil.test" };
    const { origin, text } = await send(createServer(echo), "/", { headers });
    expect((JSON.parse(text) as { url: string }).url).toBe(`${origin}/`);
  });

  test("answers 400 to a Host that is none, and 500 when the handler rejects", async () => {
    const { origin, stop } = await listen(createServer(echo));
    const status = await new Promise((resolve, reject) => {
      const request = httpRequest(origin, { headers: { host: "a b/../c" } }, (response) => {
        response.resume();
        resolve(response.statusCode);
      });
      request.on("error", reject);
      request.end();
    });
    await stop();
    expect(status).toBe(400);
    const failing = toNodeListener(() => Promise.reject(new Error("secret")));
    const { response, text } = await send(createServer(failing), "/");
    expect(response.status).toBe(500);
    expect(text).not.toContain("secret");
  });

  test("streams an answer, cookies one by one, and waits for a slow reader", async () => {
    let pulls = 0;
    const endless = toNodeListener(async () => {
      const headers = new Headers([
        ["set-cookie", "a=1"],
        ["set-cookie", "b=2"],
      ]);
      const body = new ReadableStream<Uint8Array>({
        pull(controller) {
          pulls++;
          controller.enqueue(new Uint8Array(65_536));
        },
      });
      return new Response(body, { headers });
    });
    const { origin, stop } = await listen(createServer(endless));
    const response = await fetch(origin);
    expect(response.headers.getSetCookie()).toEqual(["a=1", "b=2"]);
    const reader = response.body!.getReader();
    await reader.read();
    // Sockets and queues hold some megabytes, and then nothing more is asked of the source.
    let before: number;
    do {
      before = pulls;
      for (let turn = 0; turn < 1_000; turn++) await new Promise((resolve) => setImmediate(resolve));
    } while (pulls > before);
    expect(pulls).toBeLessThan(2_000);
    expect((await fetch(origin, { method: "HEAD" })).status).toBe(200);
    await reader.cancel();
    await stop();
  });

  test("answers a body that is too large while it is still coming, and closes the connection", async () => {
    const { presignHandler } = await import("../examples/handlers/rules.mjs");
    const { origin, stop } = await listen(createServer(toNodeListener(presignHandler(bucket, TOKEN))));
    const answer = await new Promise<{ status: number | undefined; connection: string | undefined }>(
      (resolve, reject) => {
        const request = httpRequest(
          origin,
          { method: "POST", headers: { "content-type": "application/json" } },
          (response) => {
            response.resume();
            resolve({ status: response.statusCode, connection: response.headers.connection });
          },
        );
        request.on("error", reject);
        // Never ended.
        request.write(" ".repeat(300_000));
      },
    );
    expect(answer).toEqual({ status: 413, connection: "close" });
    await stop();
  });

  test("takes what a parser has left: an object, text, bytes, or nothing", async () => {
    const parsed =
      (body: unknown): RequestListener =>
      (request, response) => {
        request.resume();
        request.on("end", () => {
          setImmediate(() => echo(Object.assign(request, { body }), response));
        });
      };
    const init = { method: "POST", body: '{"a": 1}', headers: { "content-type": "application/json" } };
    const seen = async (body: unknown) =>
      (JSON.parse((await send(parsed(body), "/", init)).text) as { body: string }).body;
    expect(await seen({ a: 1 })).toBe('{"a":1}');
    expect(await seen("text")).toBe("text");
    expect(await seen(Buffer.from("bytes"))).toBe("bytes");
    expect(await seen(undefined)).toBe("");
  });

  test("tells the handler when the client hangs up", async () => {
    let aborted: Promise<void> | undefined;
    const waiting = toNodeListener((request) => {
      aborted = new Promise((resolve) => request.signal.addEventListener("abort", () => resolve()));
      return new Promise<Response>(() => {});
    });
    const { origin, stop } = await listen(createServer(waiting));
    const controller = new AbortController();
    const left = fetch(origin, { signal: controller.signal }).catch(() => "left");
    await vi.waitUntil(() => aborted !== undefined);
    controller.abort();
    expect(await left).toBe("left");
    await aborted;
    await stop();
  });
});

test("a request without JSON at all is a 4xx of the handler, not of the server around it", async () => {
  const app = createExpressApp(bucket, TOKEN) as RequestListener;
  const { origin, stop } = await listen(app);
  const statuses = [];
  for (const init of [{ method: "GET" }, { method: "POST" }, { method: "POST", body: "x" }]) {
    statuses.push((await fetch(`${origin}/api/presign`, init)).status);
  }
  await stop();
  expect(statuses).toEqual([405, 415, 415]);
  expect((await createApp()).status).toBe(415);

  async function createApp(): Promise<Response> {
    const { presignHandler } = await import("../examples/handlers/rules.mjs");
    return presignHandler(bucket, TOKEN)(post([], { headers: { "content-type": "text/html" } }));
  }
});
