import { HeadObjectCommand, PutObjectCommand } from "@aws-sdk/client-s3";
import { createCache } from "bucketcache";
import { s3Store } from "bucketcache/s3";
import { describe, expect, test } from "vitest";
import { cacheBucket } from "../support/cache-bucket.js";
import { script } from "../support/script.js";

const fixture = cacheBucket();
const { locate } = fixture;
const ENTRY = "v=1, created=1.0, codec=text, nonce=:AAAAAAAAAAAAAAAAAAAAAA==:";

describe("a process whose clock is wrong", () => {
  const CLOCK = `
    import { createCache } from "bucketcache";
    import { s3Store } from "bucketcache/s3";
    const { options, prefix, offset } = JSON.parse(process.argv[2]);
    const real = Date.now;
    // As the clock of the machine would be wrong: before anything else asks for the time.
    globalThis.Date = class extends Date {
      constructor(...args) {
        if (args.length === 0) super(real() + offset);
        else super(...args);
      }
      static now() { return real() + offset; }
    };
    const log = {};
    const fresh = () => createCache({ store: s3Store(options), prefix });
    // Each of these is the first thing that a process does.
    log.read = await fresh().get("theirs");
    log.ended = (await fresh().get("ended")) ?? "miss";
    log.has = [await fresh().has("theirs"), await fresh().has("ended")];
    await fresh().set("ours", "value", { ttl: 600 });
    log.loaded = await fresh().getOrSet("loaded", () => "computed", { ttl: 600 });
    await fresh().set("streamed", new Blob(["streamed"]).stream(), { ttl: 600 });
    const cache = fresh();
    const wrapped = cache.wrap(() => ({ n: 1 }), { name: "f", ttl: 600 });
    await wrapped();
    log.key = wrapped.keyOf();
    await cache.set("short", "short", { ttl: 2 });
    log.before = await cache.get("short");
    const end = real() + 20_000;
    while ((await cache.get("short")) !== undefined && real() < end) await new Promise((resolve) => setTimeout(resolve, 50));
    log.after = (await cache.get("short")) ?? "miss";
    log.lived = real() - (end - 20_000);
    log.listed = 0;
    for await (const _ of cache.list()) log.listed++;
    await cache.close();
    console.log(JSON.stringify(log));`;

  test.each([
    ["20 minutes slow", -20 * 60],
    ["20 minutes fast", 20 * 60],
    ["two hours slow", -7_200],
    ["two hours fast", 7_200],
  ])("by being %s reads, writes and ends entries at the right time", async (_, seconds) => {
    const now = Date.now() / 1000;
    const other = createCache({ store: s3Store(fixture.bucket.options), prefix: fixture.prefix });
    await other.set("theirs", "value", { ttl: 600 });
    const ended = { entry: ENTRY, expires_at: String(now - 5) };
    await fixture.bucket.client.send(new PutObjectCommand({ ...locate("ended"), Body: "x", Metadata: ended }));
    const clock = await script(CLOCK);
    const printed = await clock.run({
      options: fixture.bucket.options,
      prefix: fixture.prefix,
      offset: seconds * 1000,
    });
    clock.remove();
    const log = JSON.parse(printed) as Record<string, unknown> & { lived: number; key: string };
    expect(log).toMatchObject({
      read: "value",
      ended: "miss",
      has: [true, false],
      loaded: "computed",
      before: "short",
      after: "miss",
    });
    expect(log.lived).toBeLessThan(10_000);
    for (const key of ["ours", "loaded", "streamed", log.key]) {
      const { Metadata } = await fixture.bucket.client.send(new HeadObjectCommand(locate(key)));
      expect(Math.abs(Number(Metadata?.["expires_at"]) - now - 600)).toBeLessThan(30);
      expect(Math.abs(Number(/created=([\d.]+)/.exec(Metadata?.["entry"] ?? "")?.[1]) - now)).toBeLessThan(30);
    }
    await other.close();
  });
});

test("a script that used the cache in every way ends by itself, without close", async () => {
  const user = await script(`
    import { createCache } from "bucketcache";
    import { s3Store } from "bucketcache/s3";
    const { options, prefix } = JSON.parse(process.argv[2]);
    const cache = createCache({ store: s3Store(options), prefix, memory: { revalidateAfter: "1h" } });
    cache.on("error", () => {});
    const wrapped = cache.wrap(async (n: number) => n, { name: "f", ttl: "1h" });
    await Promise.all([1, 2, 3].map((n) => wrapped(n)));
    await cache.set("k", "x".repeat(100_000), { ttl: "1h", write: "background" });
    await cache.get("absent");
    for await (const _ of (await cache.getStream("k"))!) break;
    const unread = await cache.getStream("k");
    await cache.set("large", new Blob([new Uint8Array(20 << 20)]).stream());
    for await (const _ of cache.list()) break;
    await cache.get("k", { signal: new AbortController().signal });
    await cache.deleteMany(["k", "large"]);
    console.log(unread !== undefined);
    const endsAt = Date.now();
    process.on("exit", () => console.log(Date.now() - endsAt < 10_000));`);
  expect(await user.run({ options: fixture.bucket.options, prefix: fixture.prefix })).toBe("true\ntrue\n");
  user.remove();
});
