import { PutBucketCorsCommand, type CORSRule } from "@aws-sdk/client-s3";
import { describe, expect, test } from "vitest";
import { makeDevBucket } from "../test/support/bucket.js";
import { inEachEngine } from "./support/engines.js";
import { sharedSite } from "./support/site.js";

// MinIO exposes every header and cannot be told otherwise: these run against the dev server, which does as AWS.
const { site, bucket } = sharedSite({}, makeDevBucket);

/** The rule of the docs, with what a test changes. */
async function setRule(change: Partial<CORSRule> = {}) {
  const rule: CORSRule = {
    AllowedOrigins: [new URL(site.url).origin],
    AllowedMethods: ["GET", "HEAD", "PUT", "DELETE"],
    AllowedHeaders: ["*"],
    ExposeHeaders: ["x-amz-meta-entry", "x-amz-meta-expires_at", "x-amz-meta-compressed", "etag"],
    ...change,
  };
  const CORSConfiguration = { CORSRules: [rule] };
  await bucket.client.send(new PutBucketCorsCommand({ Bucket: bucket.bucket, CORSConfiguration }));
}

inEachEngine((engine) => {
  const prefix = `cors/${engine.name}/`;

  describe("with a strict CORS rule", () => {
    test("that is the one of the docs, everything works", async () => {
      await setRule();
      const tab = await engine.tab(site.url);
      const results = await tab.run(async (prefix) => {
        const cache = lib.open({ prefix, memory: { revalidateAfter: 0.001 } });
        await cache.set("a", { n: 1 }, { ttl: "1h", compress: true });
        await cache.set("large", new Blob([lib.noise(6 << 20)]), { compress: false });
        const entry = await cache.getEntry("a");
        await cache.delete("large");
        return [entry?.value, entry?.expiresAt !== undefined, entry?.etag !== "", await cache.has("large")];
      }, prefix);
      expect(results).toEqual([{ n: 1 }, true, true, false]);
    });

    test.each([
      ["nothing", [], "x-amz-meta-entry"],
      ["no entry", ["etag", "x-amz-meta-expires_at", "x-amz-meta-compressed"], "x-amz-meta-entry"],
      [
        "the entry alone",
        ["x-amz-meta-entry"],
        "hides etag, and perhaps x-amz-meta-expires_at and x-amz-meta-compressed",
      ],
    ])("that exposes %s, ERR_CORS names what is missing and prints the rule", async (_, ExposeHeaders, missing) => {
      await site.cache({ prefix }).set("hidden", { n: 1 }, { ttl: "1h" });
      await setRule({ ExposeHeaders });
      const tab = await engine.tab(site.url);
      const outcome = await tab.run((prefix) => lib.outcome(lib.open({ prefix }).get("hidden")), prefix);
      expect(outcome.code).toBe("ERR_CORS");
      expect(outcome.message).toContain("ExposeHeaders");
      expect(outcome.message).toContain(missing);
      expect(outcome.message).toContain(new URL(site.url).origin);
    });

    test("that knows another origin only, ERR_CORS says so, for reads and writes", async () => {
      await site.cache({ prefix }).set("foreign", 1);
      await setRule({ AllowedOrigins: ["https://elsewhere.example"] });
      const tab = await engine.tab(site.url);
      const outcomes = await tab.run(async (prefix) => {
        const cache = lib.open({ prefix });
        return [await lib.outcome(cache.get("foreign")), await lib.outcome(cache.set("foreign", 2))];
      }, prefix);
      expect(outcomes.map(({ code }) => code)).toEqual(["ERR_CORS", "ERR_CORS"]);
      expect(outcomes[0]?.message).toContain(new URL(site.url).origin);
      expect(await site.cache({ prefix }).get("foreign")).toBe(1);
    });
  });

  test.each([2, -2])(
    "a client whose clock is wrong by %s hours sees, writes and loses the same entries",
    async (hours) => {
      await setRule();
      const folder = `${prefix}${hours}/`;
      const cache = site.cache({ prefix: folder, deleteExpired: false });
      await cache.setMany([
        { key: "living", value: "living", ttl: "1h" },
        { key: "ended", value: "ended", ttl: 1 },
      ]);
      const grant = await cache.presign("living");
      const tab = await engine.tab(site.url);
      const seen = await tab.run(
        async ({ folder, hours, grant }) => {
          lib.shiftClock(hours);
          const cache = lib.open({ prefix: folder });
          const living = await cache.get("living");
          await cache.set("written", "written", { ttl: "1h" });
          // In memory it lives no longer and no shorter than in the bucket.
          const again = [await cache.get("living"), await cache.get("written"), cache.stats().memory.hits];
          while ((await cache.get("ended")) !== undefined);
          const byGrant = await lib.openGrants([grant]).get(grant.key);
          return { living, again, byGrant };
        },
        { folder, hours, grant },
      );
      expect(seen).toEqual({ living: "living", again: ["living", "written", 2], byGrant: "living" });
      const written = await site.cache({ prefix: folder }).getEntry("written");
      expect(Math.abs(Number(written?.expiresAt) - Date.now() - 3_600_000)).toBeLessThan(60_000);
    },
  );

  test("after a set nobody sees the old value from the HTTP cache, not even where the entry allows one", async () => {
    await setRule();
    const cache = site.cache({ prefix });
    const cacheControl = "public, max-age=3600";
    await cache.set("cached", "old", { cacheControl });
    await cache.set("uncached", "old");
    const { url } = await cache.presign("uncached");
    const tab = await engine.tab(site.url);
    const read = () =>
      tab.run(
        async ({ prefix, url }) => {
          const cache = lib.open({ prefix, memory: false });
          return [await cache.get("cached"), await cache.get("uncached"), await (await fetch(url)).text()];
        },
        { prefix, url },
      );
    expect(await read()).toEqual(["old", "old", "old"]);
    await cache.set("cached", "new", { cacheControl });
    await cache.set("uncached", "new");
    expect(await read()).toEqual(["new", "new", "new"]);
  });
});
