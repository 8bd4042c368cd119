/** Grants of a handler work in a page with either signer. All other tests of pages sign with keys at hand. */
import { ListMultipartUploadsCommand } from "@aws-sdk/client-s3";
import { S3RequestPresigner } from "@aws-sdk/s3-request-presigner";
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import { makeBucket, type TestBucket } from "../test/support/bucket.js";
import { SIGNERS } from "../test/support/signers.js";
import { inEachEngine } from "./support/engines.js";
import { startSite, type Site } from "./support/site.js";

const MIB = 1 << 20;

describe.each(SIGNERS)("signed for by %s,", (_, signs) => {
  const presign = vi.spyOn(S3RequestPresigner.prototype, "presign");
  let bucket: TestBucket;
  let site: Site;
  beforeAll(async () => {
    bucket = await makeBucket();
    site = await startSite(bucket.options, { maxBytes: 64 * MIB }, signs);
  });
  afterAll(async () => {
    await site?.close();
    await bucket?.remove();
  });
  beforeEach(() => {
    site.reset();
    presign.mockClear();
  });

  // One engine: what differs between them is not who signs.
  inEachEngine(
    (engine) => {
      test("a page writes, reads, lists and deletes entries", async () => {
        await site.cache().set("of node", { a: 1 });
        const tab = await engine.tab(site.url);
        const seen = await tab.run(async () => {
          const cache = lib.open({ memory: false });
          await cache.set("of the page/ä b", { b: 2 }, { ttl: "1h" });
          const values = await cache.getMany(["of node", "of the page/ä b", "absent"]);
          const keys: string[] = [];
          for await (const { key } of cache.list()) keys.push(key);
          await cache.delete("of node");
          const left = await cache.get("of node");
          return { values, keys, left };
        }, undefined);
        expect(seen.values).toEqual([{ a: 1 }, { b: 2 }, undefined]);
        expect(seen.keys).toEqual(["of node", "of the page/ä b"]);
        expect(seen.left).toBeUndefined();
        expect(await site.cache().get("of the page/ä b")).toEqual({ b: 2 });
        expect(presign.mock.calls.length > 0).toBe(signs === "client");
      });

      test("a page uploads in parts and reads back the same bytes", async () => {
        const tab = await engine.tab(site.url);
        const { written, read } = await tab.run(async () => {
          const cache = lib.open({ memory: false });
          const bytes = lib.noise(12 << 20);
          await cache.set("large", new Blob([bytes]), { compress: false });
          const stream = await cache.getStream("large");
          return { written: await lib.sha256(bytes), read: await lib.sha256(stream as BodyInit) };
        }, undefined);
        expect(read).toBe(written);
        expect(site.sent("PUT")).toHaveLength(3);
        const answer = await bucket.client.send(new ListMultipartUploadsCommand({ Bucket: bucket.bucket }));
        expect(answer.Uploads ?? []).toEqual([]);
        const parts = presign.mock.calls.filter(([{ query }]) => query?.["partNumber"] !== undefined);
        expect(parts).toHaveLength(signs === "client" ? 3 : 0);
      });
    },
    ["chromium"],
  );
});
