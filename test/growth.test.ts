import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { expect, test } from "vitest";
import { createCache, type ObjectStore } from "bucketcache";
import { s3Store } from "bucketcache/s3";

const MIB = 1 << 20;

/** Keeps nothing, so that all that grows is the cache. */
function forgetfulStore(): ObjectStore {
  return {
    name: "nowhere",
    get: async () => undefined,
    head: async () => undefined,
    put: async () => ({ etag: '"e"' }),
    delete: async () => {},
    async *list() {},
  };
}

/** Bytes in use once the garbage is gone. */
function heap(): number {
  setFlagsFromString("--expose-gc");
  (runInNewContext("gc") as () => void)();
  return process.memoryUsage().heapUsed;
}

test("memory stays within its bounds whatever comes, and nothing else grows with it", async () => {
  const maxBytes = 64 * 1024;
  const cache = createCache({ store: forgetfulStore(), memory: { maxEntries: 200, maxBytes } });
  const square = cache.wrap(async (n: number) => ({ n, text: "x".repeat(n % 500) }), { name: "square", ttl: "1h" });
  const name = cache.wrap(async (text: string) => text, { name: "name" });
  let next = 0;
  const load = async (count: number): Promise<void> => {
    for (const end = next + count; next < end; next++) {
      await Promise.all([
        square(next),
        name(`name-${next}`),
        cache.set(`set-${next}`, next),
        cache.get(`get-${next}`),
        cache.getOrSet(`or-${next}`, () => next, { signal: new AbortController().signal }),
      ]);
      const { entries, bytes } = cache.stats().memory;
      expect(entries).toBeLessThanOrEqual(200);
      expect(bytes).toBeLessThanOrEqual(maxBytes);
    }
  };
  await load(1_000);
  const before = heap();
  await load(4_000);
  // A hundred bytes kept for each call would be 2 MiB.
  expect(heap() - before).toBeLessThan(MIB);
  expect(cache.stats().memory.evictions).toBeGreaterThan(10_000);
});

test("a thousand requests in flight share a bounded number of connections, and leave none behind", async () => {
  let open = 0;
  let most = 0;
  const server = createServer((request, response) => {
    request.resume().on("end", () => {
      if (request.method === "PUT") response.writeHead(200, { etag: '"e"' }).end();
      else response.writeHead(404).end("<Error><Code>NoSuchKey</Code></Error>");
    });
  }).on("connection", (socket) => {
    most = Math.max(most, ++open);
    socket.on("close", () => open--);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const cache = createCache({
    store: s3Store({
      bucket: "bucket",
      endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
      credentials: { accessKeyId: "id", secretAccessKey: "secret" },
    }),
  });
  const load = cache.wrap(async (n: number) => n, { name: "load" });
  const numbers = Array.from({ length: 1_000 }, (_, index) => index);
  await expect(Promise.all(numbers.map((n) => load(n)))).resolves.toEqual(numbers);
  expect(most).toBeGreaterThan(1);
  expect(most).toBeLessThanOrEqual(128);
  await cache.close();
  await expect.poll(() => open).toBe(0);
  server.close();
});
