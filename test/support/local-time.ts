import type { ObjectStore } from "bucketcache";
import { describe, expect, test, vi } from "vitest";
import { utf8 } from "../../src/base/bytes.js";

const PLAIN = { contentType: "text/plain", metadata: {} };

/** Registers the tests of stores that take the time from their own process. */
export function localTime(makeStore: () => ObjectStore): void {
  describe("time", () => {
    test("is Date.now's, also where a test replaces nothing else", async () => {
      const store = makeStore();
      const now = Date.now() + 3_600_000;
      vi.spyOn(Date, "now").mockReturnValue(now);
      await store.put("k", utf8("x"), PLAIN);
      expect(await store.head("k")).toMatchObject({ now: new Date(now), lastModified: new Date(now) });
      vi.restoreAllMocks();
    });

    test("tells an object from one of the same bytes that took its place", async () => {
      const store = makeStore();
      vi.spyOn(Date, "now").mockReturnValueOnce(1_000_000);
      const { etag } = await store.put("k", utf8("x"), PLAIN);
      const { lastModified } = (await store.head("k"))!;
      expect(await store.get("k", { ifNoneMatch: etag, lastModified })).toBe("not-modified");
      vi.restoreAllMocks();
      await store.put("k", utf8("x"), PLAIN);
      expect(await store.get("k", { ifNoneMatch: etag })).toBe("not-modified");
      const found = await store.get("k", { ifNoneMatch: etag, lastModified });
      if (typeof found !== "object") expect.fail("it is another");
      await found.body.cancel();
    });
  });
}
