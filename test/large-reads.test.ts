import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, describe, expect, test, vi } from "vitest";
import { createCache, type Cache } from "bucketcache";
import { s3Store } from "bucketcache/s3";

const MIB = 1 << 20;
const HEADERS = {
  etag: '"one"',
  "last-modified": "Sun, 22 Nov 2026 04:00:00 GMT",
  "cache-control": "no-store, bucketcache=1",
  "content-type": "application/octet-stream",
  "x-amz-meta-entry": "v=1, created=1795310019.46, codec=bytes, nonce=:AAAAAAAAAAAAAAAAAAAAAA==:",
};

type Answer = (range: [number, number] | undefined, response: ServerResponse, request: IncomingMessage) => void;

const cleanUps: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  vi.useRealTimers();
  for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp();
});

/**
 * A store of one object whose every byte tells its place. It sends the whole of a large one so slowly that most of it
 * comes after the first range was asked for, unless `isFast`. `answer` may do otherwise.
 */
async function storeOf(size: number, answer?: (serve: Answer) => Answer, isFast = false) {
  const body = new Uint8Array(new Uint32Array(size / 4).map((_, index) => Math.imul(index, 2_654_435_761)).buffer);
  const serve: Answer = (range, response) => {
    const [from, to] = range ?? [0, size - 1];
    const length = { "content-length": to - from + 1 };
    if (range === undefined) response.writeHead(200, { ...HEADERS, ...length });
    else response.writeHead(206, { ...HEADERS, ...length, "content-range": `bytes ${from}-${to}/${size}` });
    if (range !== undefined || isFast || size <= 16 * MIB) return void response.end(body.subarray(from, to + 1));
    response.write(body.subarray(0, MIB));
    finish = () => void response.end(body.subarray(MIB));
  };
  let finish = (): void => {};
  const ranges: (string | undefined)[] = [];
  const server = createServer((request, response) => {
    ranges.push(request.headers.range);
    const match = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? "");
    (answer?.(serve) ?? serve)(match === null ? undefined : [Number(match[1]), Number(match[2])], response, request);
    if (match === null) return;
    finish();
    finish = () => {};
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  const cache: Cache = createCache({
    store: s3Store({
      bucket: "bucket",
      endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
      credentials: { accessKeyId: "id", secretAccessKey: "secret" },
    }),
    memory: false,
  });
  cleanUps.push(async () => {
    await cache.close();
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });
  const sockets = () => new Promise<number>((resolve) => server.getConnections((_, count) => resolve(count)));
  return { body, cache, ranges, sockets };
}

const same = (value: unknown, body: Uint8Array) => Buffer.compare(value as Uint8Array, body) === 0;

describe("a large value", () => {
  test("of up to 16 MiB takes one request", async () => {
    const { body, cache, ranges } = await storeOf(16 * MIB);
    expect(same(await cache.get("key"), body)).toBe(true);
    expect(ranges).toEqual([undefined]);
  });

  test("of more takes one, too, where that is fast", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    const { body, cache, ranges } = await storeOf(40 * MIB, undefined, true);
    expect(same(await cache.get("key"), body)).toBe(true);
    await vi.advanceTimersByTimeAsync(1_000);
    expect(ranges).toEqual([undefined]);
  });

  test("of more is read by ranges from its end while a slow answer is read from its beginning", async () => {
    const { body, cache, ranges } = await storeOf(40 * MIB + 4);
    expect(same(await cache.get("key"), body)).toBe(true);
    expect(ranges[0]).toBeUndefined();
    expect(ranges.slice(1)).toContain(`bytes=${32 * MIB + 4}-${40 * MIB + 3}`);
    expect(ranges.length).toBeLessThanOrEqual(5);
  });

  test.each([
    ["refuses ranges", (response: ServerResponse) => response.writeHead(403).end()],
    [
      "ignores them",
      (response: ServerResponse) => response.writeHead(200, { ...HEADERS, "content-length": 1 }).end("x"),
    ],
    [
      "has another object meanwhile",
      (response: ServerResponse) =>
        response
          .writeHead(206, { ...HEADERS, etag: '"two"', "content-range": "bytes 0-0/9", "content-length": 1 })
          .end("x"),
    ],
  ])("comes whole by the first answer where the store %s", async (_, refuse) => {
    const { body, cache } = await storeOf(32 * MIB, (serve) => (range, response, request) => {
      if (range === undefined) serve(range, response, request);
      else refuse(response);
    });
    expect(same(await cache.get("key"), body)).toBe(true);
  });

  test("is complete though the first range breaks for good", async () => {
    let broken = 0;
    const { body, cache } = await storeOf(24 * MIB, (serve) => (range, response, request) => {
      if (range === undefined || range[0] !== 16 * MIB || broken === 3) return serve(range, response, request);
      broken++;
      response.writeHead(206, {
        ...HEADERS,
        "content-length": 8 * MIB,
        "content-range": `bytes ${range[0]}-${range[1]}/${24 * MIB}`,
      });
      response.write("a beginning", () => response.destroy());
    });
    expect(same(await cache.get("key"), body)).toBe(true);
  });

  test("leaves no connection at work when its reader aborts", async () => {
    const controller = new AbortController();
    const { cache, sockets } = await storeOf(64 * MIB, () => (range, response) => {
      const [from, to] = range ?? [0, 64 * MIB - 1];
      response.writeHead(range === undefined ? 200 : 206, {
        ...HEADERS,
        "content-length": to - from + 1,
        ...(range && { "content-range": `bytes ${from}-${to}/${64 * MIB}` }),
      });
      response.write("a beginning");
      if (range !== undefined) controller.abort(new Error("enough"));
    });
    await expect(cache.get("key", { signal: controller.signal })).rejects.toThrow("enough");
    await expect.poll(sockets).toBe(0);
  });
});
