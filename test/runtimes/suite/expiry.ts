// Entries end, by the store's clock.
import type { Bench } from "./bench.js";
import { check, equal, until } from "./expect.js";

const HOUR = 3_600_000;

export function expiry({ runner: { describe, test }, cache, prefix, open }: Bench): void {
  describe("expiry", () => {
    test("entries end after their TTL, in memory and in the store, and are then deleted", async () => {
      const one = cache("ttl");
      const other = cache("ttl", { memory: false });
      await one.set("key", "value", { ttl: "1500ms" });
      await one.set("stays", "value", { ttl: "1h" });
      equal([await one.get("key"), await other.get("key")], ["value", "value"], "at first");
      await until(async () => (await one.get("key")) === undefined, "the end in memory");
      await until(async () => (await other.get("key")) === undefined, "the end in the store");
      await other.flush();
      await until(async () => (await open().head(`${prefix}ttl/key`)) === undefined, "deleted");
      equal(await other.get("stays"), "value", "another entry");
    });

    test("a clock that is two hours wrong changes nothing", async () => {
      const now = Date.now;
      await cache("clock").set("key", "value", { ttl: "1h" });
      for (const error of [2 * HOUR, -2 * HOUR]) {
        Date.now = () => now() + error;
        try {
          const wrong = cache("clock");
          equal(await wrong.get("key"), "value", "what has an hour to live");
          await wrong.set("written", error, { ttl: "1h" });
          equal(await wrong.get("written"), error, "what was just written");
        } finally {
          Date.now = now;
        }
        const { expiresAt, value } = (await cache("clock").getEntry("written"))!;
        equal(value, error, "read with a right clock");
        const left = (expiresAt!.getTime() - now()) / HOUR;
        check(left > 0.95 && left < 1.05, `it should live for an hour, and lives for ${left}`);
      }
    });
  });
}
