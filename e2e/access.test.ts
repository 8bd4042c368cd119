import { describe, expect, test } from "vitest";
import { CopyObjectCommand, HeadObjectCommand } from "@aws-sdk/client-s3";
import { inEachEngine, inPlaywright } from "./support/engines.js";
import { sharedSite, withSite } from "./support/site.js";

const { site, bucket, countOpenUploads } = sharedSite();

inEachEngine((engine) => {
  const prefix = `access/${engine.name}/`;

  describe("a page is told apart by code", () => {
    test("what the handler denies: ERR_FORBIDDEN", async () => {
      site.authorize = ({ operation }) => operation === "read";
      await site.cache({ prefix }).set("mine", 1);
      const tab = await engine.tab(site.url);
      const outcomes = await tab.run(async (prefix) => {
        const cache = lib.open({ prefix });
        return {
          read: await lib.outcome(cache.get("mine")),
          write: await lib.outcome(cache.set("mine", 2)),
          remove: await lib.outcome(cache.delete("mine")),
        };
      }, prefix);
      expect(outcomes.read).toEqual({ value: 1 });
      expect(outcomes.write.code).toBe("ERR_FORBIDDEN");
      expect(outcomes.remove.code).toBe("ERR_FORBIDDEN");
      expect(await site.cache({ prefix }).get("mine")).toBe(1);
    });

    test("a handler that cannot be reached: ERR_UNAVAILABLE, and functions run all the same", async () => {
      const tab = await engine.tab(site.url);
      site.isCut = true;
      const outcomes = await tab.run(async (prefix) => {
        const cache = lib.open({ prefix });
        return [await lib.outcome(cache.get("mine")), await lib.outcome(cache.getOrSet("other", () => "computed"))];
      }, prefix);
      expect(outcomes[0]?.code).toBe("ERR_UNAVAILABLE");
      expect(outcomes[1]).toEqual({ value: "computed" });
    });

    test("a bucket that cannot be reached: ERR_UNAVAILABLE", async () => {
      const tab = await engine.tab(site.url);
      site.proxy.hook = () => ({ drop: "before" });
      const outcome = await tab.run((prefix) => lib.outcome(lib.open({ prefix }).get("mine")), prefix);
      expect(outcome.code).toBe("ERR_UNAVAILABLE");
    });

    test("an address that is no handler: ERR_PROTOCOL", async () => {
      const tab = await engine.tab(site.url);
      const outcome = await tab.run(
        (prefix) => lib.outcome(lib.open({ prefix, url: "/index.html" }).get("mine")),
        prefix,
      );
      expect(outcome.code).toMatch(/^ERR_(PROTOCOL|UNSUPPORTED)$/);
      expect(outcome.message).toContain("handler");
    });

    test("a page of another origin, which the handler does not know: it is refused", async () => {
      await withSite(bucket, {}, async (other) => {
        const tab = await engine.tab(other.url);
        const outcome = await tab.run(({ prefix, url }) => lib.outcome(lib.open({ prefix, url }).get("mine")), {
          prefix,
          url: `${site.url}presign`,
        });
        expect(outcome.code).toMatch(/^ERR_(CORS|FORBIDDEN)$/);
        expect(site.sent()).toEqual([]);
      });
    });
  });

  test("a revoked user reads no more: not a key without a grant, and none once its grant has ended", async () => {
    await withSite(bucket, { expiresIn: 2 }, async (brief) => {
      await brief.cache({ prefix }).setMany([
        { key: "seen", value: "seen" },
        { key: "unseen", value: "unseen" },
      ]);
      const tab = await engine.tab(brief.url);
      await tab.run((prefix) => {
        Object.assign(globalThis, { cache: lib.open({ prefix, memory: false }) });
        return (globalThis as never as { cache: ReturnType<typeof lib.open> }).cache.get("seen");
      }, prefix);
      brief.authorize = () => false;
      const outcomes = await tab.run(async () => {
        const { cache } = globalThis as never as { cache: ReturnType<typeof lib.open> };
        const unseen = await lib.outcome(cache.get("unseen"));
        let reads = 0;
        for (;;) {
          const seen = await lib.outcome(cache.get("seen"));
          if (seen.code !== undefined) return { unseen, seen, reads };
          reads++;
        }
      });
      expect(outcomes.unseen.code).toBe("ERR_FORBIDDEN");
      expect(outcomes.seen.code).toBe("ERR_FORBIDDEN");
    });
  });

  test("a user who is revoked in the middle of an upload gets no further, and leaves nothing", async () => {
    const key = `revoked/${engine.name}`;
    await site.cache().set(key, "old");
    const tab = await engine.tab(site.url);
    let parts = 0;
    site.proxy.hook = ({ method }) => {
      if (method === "PUT" && ++parts === 2) site.authorize = () => false;
    };
    const outcome = await tab.run((key) => {
      const cache = lib.open({ concurrency: 1, headers: { authorization: "Bearer ann" } });
      return lib.outcome(cache.set(key, new Blob([lib.noise(20 << 20)]), { compress: false }));
    }, key);
    expect(outcome.code).toBe("ERR_FORBIDDEN");
    expect(parts).toBe(2);
    expect(await site.cache().get(key)).toBe("old");
    expect(await countOpenUploads(key)).toBe(0);
  });

  test("a grant that was tampered with is refused by the store, whatever was changed", async () => {
    const cache = site.cache({ prefix });
    await cache.setMany([
      { key: "mine", value: "mine" },
      { key: "secret", value: "secret" },
    ]);
    const grants = {
      read: await cache.presign("mine"),
      write: await cache.presign("mine", { operation: "write", size: 4, contentType: "text/plain; charset=utf-8" }),
    };
    const tab = await engine.tab(site.url);
    const outcomes = await tab.run(async ({ read, write }) => {
      const change = (grant: typeof read, from: string | RegExp, to: string) => ({
        ...grant,
        url: grant.url.replace(from, to),
      });
      const get = (grant: typeof read) => lib.outcome(lib.openGrants([grant]).get(grant.key));
      return {
        plain: await get(read),
        key: await get(change(read, "/mine?", "/secret?")),
        life: await get(change(read, /X-Amz-Expires=\d+/, "X-Amz-Expires=604800")),
        signature: await get(change(read, /Signature=../, "Signature=00")),
        size: await lib.outcome(
          lib.openGrants([{ ...write, headers: { ...write.headers, "content-length": "5" } }]).set(write.key, "mines"),
        ),
        ttl: await lib.outcome(
          lib
            .openGrants([{ ...write, headers: { ...write.headers, "x-amz-meta-expires_at": "9999999999" } }])
            .set(write.key, "ours"),
        ),
      };
    }, grants);
    expect(outcomes.plain).toEqual({ value: "mine" });
    for (const name of ["key", "life", "signature", "size", "ttl"] as const) {
      expect(outcomes[name].code, name).toMatch(/^ERR_(CREDENTIALS|FORBIDDEN|STORE)$/);
      expect(JSON.stringify(outcomes[name]), name).not.toMatch(/Signature=[0-9a-f]{8}|Credential=\w/);
    }
    expect(await cache.get("mine")).toBe("mine");
  });

  test("a grant that has ended is refused by the store, and the page says that it has ended", async () => {
    const cache = site.cache({ prefix });
    await cache.set("mine", "mine");
    const grant = await cache.presign("mine", { expiresIn: 1 });
    const tab = await engine.tab(site.url);
    const refused = await tab.run(async (grant) => {
      const cache = lib.openGrants([grant]);
      for (;;) {
        const outcome = await lib.outcome(cache.get(grant.key));
        if (outcome.code !== undefined) return outcome;
      }
    }, grant);
    expect(refused.code).toBe("ERR_FORBIDDEN");
    expect(refused.message).toContain("ended");
  });

  test("a read that is cut half-way goes on where it was, once the network is back", async () => {
    const key = `cut/${engine.name}`;
    const text = "0123456789abcdef".repeat(200_000);
    await site.cache().set(key, new Blob([text]), { compress: false });
    let cuts = 0;
    site.proxy.hook = ({ method }) => (method === "GET" && cuts++ < 2 ? { truncate: 1_000_000 } : undefined);
    const tab = await engine.tab(site.url);
    const digests = await tab.run(
      async ({ key, text }) => {
        const cache = lib.open({ memory: false });
        return [await lib.sha256((await cache.getStream(key))!), await lib.sha256(text)];
      },
      { key, text },
    );
    expect(digests[0]).toBe(digests[1]);
    expect(site.sent("GET").length).toBeGreaterThan(1);
  });

  test("after the network was away for long, everything works again as soon as it is back", async () => {
    await site.cache({ prefix }).set("mine", "mine");
    const tab = await engine.tab(site.url);
    const read = () =>
      tab.run((prefix) => {
        const page = globalThis as { shared?: ReturnType<typeof lib.open> };
        page.shared ??= lib.open({ prefix, memory: false });
        return lib.outcome(page.shared.get("mine"));
      }, prefix);
    site.proxy.hook = () => ({ drop: "before" });
    site.isCut = true;
    expect((await read()).code).toBe("ERR_UNAVAILABLE");
    site.isCut = false;
    expect((await read()).code).toBe("ERR_UNAVAILABLE");
    site.proxy.hook = undefined;
    expect(await read()).toEqual({ value: "mine" });
  });

  test("a Content-Encoding that somebody put on an object breaks no reader", async () => {
    const key = `encoded/${engine.name}`;
    await site.cache().set(key, { a: "plain" }, { compress: false });
    const { client, bucket: Bucket } = bucket;
    const Key = `cache/${key}`;
    const { Metadata, ContentType, CacheControl } = await client.send(new HeadObjectCommand({ Bucket, Key }));
    await client.send(
      new CopyObjectCommand({
        Bucket,
        Key,
        CopySource: `${Bucket}/${Key}`,
        MetadataDirective: "REPLACE",
        ContentEncoding: "gzip",
        Metadata,
        ContentType,
        CacheControl,
      }),
    );
    const grant = await site.cache().presign(key);
    const tab = await engine.tab(site.url);
    const read = await tab.run(
      async ({ key, grant }) => {
        const cache = lib.open({ memory: false });
        return {
          value: await cache.get(key),
          stream: await new Response(await cache.getStream(key)).text(),
          grant: await lib.openGrants([grant]).get(grant.key),
        };
      },
      { key, grant },
    );
    expect(read).toEqual({ value: { a: "plain" }, stream: '{"a":"plain"}', grant: { a: "plain" } });
  });
});

inPlaywright(
  (engine) => {
    test("a browser that is offline says ERR_UNAVAILABLE, and reads as soon as it is online", async () => {
      await site.cache().set("online", 1);
      const tab = await engine.tab(site.url);
      await tab.page.context().setOffline(true);
      const read = () => tab.run(() => lib.outcome(lib.open().get("online")));
      expect((await read()).code).toBe("ERR_UNAVAILABLE");
      await tab.page.context().setOffline(false);
      expect(await read()).toEqual({ value: 1 });
    });
  },
  // Firefox over BiDi has no such switch: there the connections are cut, above.
  ["chromium"],
);
