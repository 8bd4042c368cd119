/** Grants of a handler work in a page with either signer. All other tests of pages sign with keys at hand. */
import { S3RequestPresigner } from "@aws-sdk/s3-request-presigner";
import { beforeEach, describe, expect, test, vi } from "vitest";
import { SIGNERS } from "../test/support/signers.js";
import { inEachEngine } from "./support/engines.js";
import { sharedSite } from "./support/site.js";

const MIB = 1 << 20;

describe.each(SIGNERS)("signed for by %s,", (_, signs) => {
  const presign = vi.spyOn(S3RequestPresigner.prototype, "presign");
  const { site, countOpenUploads } = sharedSite({ maxBytes: 64 * MIB, signs });
  beforeEach(() => void presign.mockClear());

  // One engine is enough: engines do not differ by who signs.
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
        expect(await countOpenUploads("large")).toBe(0);
        const parts = presign.mock.calls.filter(([{ query }]) => query?.["partNumber"] !== undefined);
        expect(parts).toHaveLength(signs === "client" ? 3 : 0);
      });
    },
    ["chromium"],
  );
});
