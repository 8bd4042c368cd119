import { once } from "node:events";
import { createServer, request, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, beforeEach, expect, test } from "vitest";
import { startProxy, type FaultProxy } from "./support/proxy.js";

let server: Server;
let seen: { method: string; url: string; host: string; body: string }[];
let aborted: number;
let proxy: FaultProxy;

beforeEach(async () => {
  seen = [];
  aborted = 0;
  server = createServer(answer);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  proxy = await startProxy(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
});

afterEach(async () => {
  await proxy.close();
  await new Promise((resolve) => server.close(resolve));
});

async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const chunks: Buffer[] = [];
  try {
    for await (const chunk of request) chunks.push(chunk as Buffer);
  } catch {
    aborted++;
    return;
  }
  const { method = "", url = "", headers } = request;
  seen.push({ method, url, host: headers.host ?? "", body: Buffer.concat(chunks).toString() });
  response.on("close", () => {
    if (!response.writableFinished) aborted++;
  });
  response.setHeader("X-Amz-Meta-Name", "value");
  response.setHeader("ETag", '"1"');
  if (url.startsWith("/endless")) return void response.write("first");
  response.end(method === "HEAD" ? undefined : `${method} ${url}`);
}

const ask = (path: string, init?: RequestInit) => fetch(proxy.endpoint + path, init);

test("without a hook everything passes as it is: path, query, host, headers, body and status", async () => {
  const response = await ask("/b/a%2Fb%20c?x=%2B&list-type=2", { method: "PUT", body: "text" });
  expect(await response.text()).toBe("PUT /b/a%2Fb%20c?x=%2B&list-type=2");
  expect(response.headers.get("x-amz-meta-name")).toBe("value");
  expect(seen).toEqual([
    { method: "PUT", url: "/b/a%2Fb%20c?x=%2B&list-type=2", host: new URL(proxy.endpoint).host, body: "text" },
  ]);
  const [passed] = proxy.requests;
  expect(passed).toMatchObject({ method: "PUT", path: "/b/a/b c", index: 0, status: 200, sent: 4, received: 34 });
  expect(passed?.query.get("x")).toBe("+");
});

test("the answer to HEAD has no body and keeps its headers", async () => {
  const response = await ask("/b/k", { method: "HEAD" });
  expect(response.headers.get("etag")).toBe('"1"');
  expect(await response.text()).toBe("");
});

test("requests are counted by method and path", async () => {
  for (const [method, path] of [
    ["GET", "/b/one"],
    ["GET", "/b/two"],
    ["DELETE", "/b/two"],
  ] as const) {
    await (await ask(path, { method })).text();
  }
  expect(proxy.count()).toBe(3);
  expect(proxy.count("GET")).toBe(2);
  expect(proxy.count("GET", "two")).toBe(1);
  expect(proxy.count(undefined, /two$/)).toBe(2);
  proxy.reset();
  expect(proxy.count()).toBe(0);
});

test("a request can be answered in the server's place", async () => {
  proxy.hook = ({ index }) =>
    index === 0 ? { answer: { status: 503, headers: { "Retry-After": "1" }, body: "slow" } } : undefined;
  const refused = await ask("/b/k", { method: "PUT", body: "x".repeat(1_000_000) });
  expect([refused.status, refused.headers.get("retry-after"), await refused.text()]).toEqual([503, "1", "slow"]);
  expect(seen).toEqual([]);
  const passed = await ask("/b/k");
  expect([passed.status, await passed.text()]).toEqual([200, "GET /b/k"]);
  expect(proxy.requests.map(({ status }) => status)).toEqual([503, 200]);
});

test("a connection dropped before the server sees the request leaves nothing done", async () => {
  proxy.hook = () => ({ drop: "before" });
  await expect(ask("/b/k", { method: "PUT", body: "text" })).rejects.toThrow();
  expect(seen).toEqual([]);
});

test("a connection dropped after the server did its work hides only the answer", async () => {
  proxy.hook = () => ({ drop: "after" });
  await expect(ask("/b/k", { method: "PUT", body: "text" })).rejects.toThrow();
  expect(seen).toMatchObject([{ method: "PUT", body: "text" }]);
  expect(proxy.requests[0]?.status).toBeUndefined();
});

test("a truncated answer ends in an error after exactly the bytes let through", async () => {
  for (const truncate of [0, 3]) {
    proxy.hook = () => ({ truncate });
    const response = await ask("/b/k");
    expect(response.headers.get("content-length")).toBe("8");
    const bytes: number[] = [];
    await expect(
      (async () => {
        for await (const chunk of response.body!) bytes.push(...chunk);
      })(),
    ).rejects.toThrow();
    expect(Buffer.from(bytes).toString()).toBe("GET".slice(0, truncate));
  }
});

test("a stalled answer goes silent until the client leaves", async () => {
  proxy.hook = () => ({ stall: 3 });
  // Not fetch: its client opens a new connection at once in place of one that it left.
  const client = request(`${proxy.endpoint}/b/k`, { agent: false }).end();
  const [response] = (await once(client, "response")) as [IncomingMessage];
  const [chunk] = (await once(response, "data")) as [Buffer];
  expect(chunk.toString()).toBe("GET");
  expect(proxy.connections).toBe(1);
  client.destroy();
  await expect.poll(() => proxy.connections).toBe(0);
});

test("hooks run before the request is passed on and before its answer is told", async () => {
  const order: string[] = [];
  proxy.hook = ({ method }) =>
    method === "HEAD"
      ? {
          before: () => void order.push(`before, server saw ${seen.length}`),
          after: async (status) => {
            await (await ask("/b/k", { method: "PUT", body: "newer" })).text();
            order.push(`after ${status}, server saw ${seen.length}`);
          },
        }
      : undefined;
  await ask("/b/k", { method: "HEAD" });
  expect(order).toEqual(["before, server saw 0", "after 200, server saw 2"]);
  expect(seen.map(({ method }) => method)).toEqual(["HEAD", "PUT"]);
});

test("headers of the answer can be changed", async () => {
  const date = new Date(0).toUTCString();
  proxy.hook = () => ({ headers: ({ etag: _, ...kept }) => ({ ...kept, date }) });
  const response = await ask("/b/k");
  await response.text();
  expect(response.headers.get("etag")).toBeNull();
  expect(response.headers.get("date")).toBe(date);
  expect(response.headers.get("x-amz-meta-name")).toBe("value");
});

test("a client that leaves in the middle of an answer is felt by the server", async () => {
  const response = await ask("/endless");
  await response.body!.cancel();
  await expect.poll(() => aborted).toBe(1);
});

test("a large body streams through in both directions unchanged", async () => {
  const body = "0123456789".repeat(200_000);
  const response = await ask("/b/k", { method: "PUT", body });
  await response.text();
  expect(seen[0]?.body === body).toBe(true);
  expect(proxy.requests[0]?.sent).toBe(2_000_000);
});

test("a server that is not there looks like a broken connection", async () => {
  const dead = await startProxy("http://127.0.0.1:1");
  await expect(fetch(dead.endpoint)).rejects.toThrow();
  await dead.close();
});
