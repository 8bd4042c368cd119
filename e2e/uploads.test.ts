import { createHash } from "node:crypto";
import { describe, expect, test } from "vitest";
import { inEachEngine, inPlaywright } from "./support/engines.js";
import { fileOf, sha256OfNoise } from "./support/files.js";
import { sharedSite } from "./support/site.js";

const MIB = 1 << 20;

const { site, hasObject, countOpenUploads } = sharedSite({ maxBytes: 256 * MIB });

/** The operations that the handler was asked for. */
const operations = () => site.batches.flat().map(({ op }) => op);
const countOperations = (op: string) => operations().filter((each) => each === op).length;

inEachEngine((engine) => {
  describe("an upload", () => {
    const kinds = ["bytes", "blob", "file", "stream"] as const;

    test.each(kinds)("of 3 MiB as %s is one PUT, and Node reads the same", async (kind) => {
      const key = `small/${engine.name}/${kind}`;
      const tab = await engine.tab(site.url);
      await tab.run(
        ({ key, kind }) => {
          const bytes = lib.noise(3 << 20);
          const body = {
            bytes,
            blob: new Blob([bytes]),
            file: new File([bytes], "noise.bin", { type: "application/x-noise" }),
            stream: new Blob([bytes]).stream(),
          }[kind];
          return lib.open().set(key, body, { compress: false, ttl: "1h" });
        },
        { key, kind },
      );
      expect(site.sent()).toEqual([`PUT cache/${key}`]);
      const entry = await site.cache().getEntry<Uint8Array>(key);
      expect(entry?.contentType).toBe(kind === "file" ? "application/x-noise" : "application/octet-stream");
      expect(sha256OfNoise(entry!.value.byteLength)).toBe(sha256OfNoise(3 * MIB));
      expect(await site.cache().getStream(key).then(digestOf)).toBe(sha256OfNoise(3 * MIB));
    });

    test.each(kinds)("of 12 MiB as %s goes in parts, with progress, and Node reads the same", async (kind) => {
      const key = `large/${engine.name}/${kind}`;
      const tab = await engine.tab(site.url);
      const progress = await tab.run(
        async ({ key, kind }) => {
          const bytes = lib.noise(12 << 20);
          const body = {
            bytes,
            blob: new Blob([bytes]),
            file: new File([bytes], "noise.bin"),
            stream: new Blob([bytes]).stream(),
          }[kind];
          const seen: { loaded: number; total?: number | undefined }[] = [];
          await lib.open().set(key, body, { compress: false, onProgress: (progress) => void seen.push(progress) });
          return seen;
        },
        { key, kind },
      );
      expect(site.sent("PUT")).toHaveLength(3);
      expect(operations().toSorted()).toEqual(["complete", "create", "part", "part", "part"]);
      expect(progress.map(({ loaded }) => loaded)).toEqual(
        progress.map(({ loaded }) => loaded).toSorted((a, b) => a - b),
      );
      expect(progress.at(-1)?.loaded).toBe(12 * MIB);
      if (kind !== "stream") expect(progress[0]?.total).toBe(12 * MIB);
      expect(await site.cache().getStream(key).then(digestOf)).toBe(sha256OfNoise(12 * MIB));
      expect(await countOpenUploads(key)).toBe(0);
    });

    test.each(["blob", "stream"])("of a %s that is compressed as it flows is read plain by Node", async (kind) => {
      const key = `gzip/${engine.name}/${kind}`;
      const tab = await engine.tab(site.url);
      await tab.run(
        async ({ key, kind }) => {
          const line = new TextEncoder().encode("station-12,21.5,1013\n".repeat(3_000));
          const body = kind === "blob" ? new Blob(Array.from({ length: 200 }, () => line)) : lib.chunks(200, line);
          await lib.open().set(key, body, { compress: true, contentType: "text/csv" });
        },
        { key, kind },
      );
      const cache = site.cache();
      const entry = await cache.getEntry<Uint8Array>(key);
      expect(entry?.value.byteLength).toBe(200 * 3_000 * 21);
      expect(entry?.size).toBeLessThan(entry!.value.byteLength / 20);
      const line = new TextEncoder().encode("station-12,21.5,1013\n".repeat(3_000));
      for (let i = 0; i < 200; i++) {
        expect(Buffer.compare(entry!.value.subarray(i * line.length, (i + 1) * line.length), line)).toBe(0);
      }
    });

    test("of 60 MiB that is aborted half-way rejects with the reason, and leaves no object and no open upload", async () => {
      const key = `aborted/${engine.name}`;
      const tab = await engine.tab(site.url);
      const outcome = await tab.run(async (key) => {
        const controller = new AbortController();
        return lib.outcome(
          lib.open().set(key, new Blob([lib.noise(60 << 20)]), {
            compress: false,
            signal: controller.signal,
            onProgress: ({ loaded }) => loaded >= 30 << 20 && controller.abort(new Error("enough")),
          }),
        );
      }, key);
      expect(outcome).toEqual({ code: "Error", message: "enough" });
      expect(site.sent("PUT").length).toBeGreaterThanOrEqual(6);
      expect(site.sent("PUT").length).toBeLessThan(12);
      await expect.poll(() => countOpenUploads(key)).toBe(0);
      expect(await hasObject(key)).toBe(false);
    });

    test("whose source fails rejects with that failure, and keeps the old value", async () => {
      const key = `failing/${engine.name}`;
      await site.cache().set(key, "old");
      const tab = await engine.tab(site.url);
      const outcome = await tab.run(async (key) => {
        let pulls = 0;
        const body = new ReadableStream<Uint8Array>({
          pull(controller) {
            if (pulls++ < 14) controller.enqueue(new Uint8Array(1 << 20));
            else controller.error(new Error("the disk is gone"));
          },
        });
        return lib.outcome(lib.open().set(key, body, { compress: false }));
      }, key);
      expect(outcome).toEqual({ code: "Error", message: "the disk is gone" });
      expect(await site.cache().get(key)).toBe("old");
      await expect.poll(() => countOpenUploads(key)).toBe(0);
    });

    test("beyond what the handler allows is refused with ERR_TOO_LARGE before a byte is sent", async () => {
      const tab = await engine.tab(site.url);
      const key = `huge/${engine.name}`;
      const outcome = await tab.run((key) => {
        const mib = new Uint8Array(1 << 20);
        return lib.outcome(lib.open().set(key, new Blob(Array.from({ length: 257 }, () => mib)), { compress: false }));
      }, key);
      expect(outcome.code).toBe("ERR_TOO_LARGE");
      expect(site.sent("PUT")).toEqual([]);
    });

    test("of noise that is compressed goes in parts, each whole: Node reads the same", async () => {
      const key = `gzip/${engine.name}/noise`;
      const tab = await engine.tab(site.url);
      await tab.run((key) => lib.open().set(key, new Blob([lib.noise(17 << 20)]), { compress: true }), key);
      expect(countOperations("part")).toBe(4);
      expect(await site.cache().getStream(key).then(digestOf)).toBe(sha256OfNoise(17 * MIB));
    });

    test("goes on when the network is cut and comes back", async () => {
      const key = `cut/${engine.name}`;
      let cuts = 0;
      site.proxy.hook = (request) => {
        if (request.method !== "PUT" || cuts === 3) return undefined;
        cuts++;
        return { drop: cuts === 2 ? "after" : "before" };
      };
      const tab = await engine.tab(site.url);
      await tab.run((key) => lib.open().set(key, new Blob([lib.noise(22 << 20)]), { compress: false }), key);
      expect(cuts).toBe(3);
      expect(await site.cache().getStream(key).then(digestOf)).toBe(sha256OfNoise(22 * MIB));
      expect(await countOpenUploads(key)).toBe(0);
    });
  });
});

describe("an upload that is slower than its grants live", () => {
  const { site: slow } = sharedSite({ maxBytes: 64 * MIB, expiresIn: 3 });

  inEachEngine((engine) => {
    test("gets a grant for each part as it starts, and ends well", async () => {
      slow.proxy.hook = (request) =>
        request.method === "PUT" ? { before: () => new Promise((resolve) => setTimeout(resolve, 1_200)) } : undefined;
      const key = `slow/${engine.name}`;
      const tab = await engine.tab(slow.url);
      const took = await tab.run(async (key) => {
        const start = performance.now();
        await lib.open({ concurrency: 1 }).set(key, new Blob([lib.noise(18 << 20)]), { compress: false });
        return performance.now() - start;
      }, key);
      expect(took).toBeGreaterThan(4_000);
      expect(slow.batches.flat().filter(({ op }) => op === "part").length).toBeGreaterThanOrEqual(4);
      expect(await slow.cache().getStream(key).then(digestOf)).toBe(sha256OfNoise(18 * MIB));
    });
  });
});

inPlaywright((engine) => {
  test("a file that a person chooses is uploaded under its own type", async () => {
    const key = `chosen/${engine.name}`;
    const tab = await engine.tab(site.url);
    await tab.page.getByLabel("File").setInputFiles(fileOf("rows.csv", 7 * MIB));
    await tab.run(async (key) => {
      const [file] = (document.getElementById("file") as HTMLInputElement).files!;
      await lib.open().set(key, file, { compress: false });
    }, key);
    expect(countOperations("part")).toBe(2);
    const entry = await site.cache().getEntry<Uint8Array>(key);
    expect(entry).toMatchObject({ size: 7 * MIB, contentType: "text/csv" });
  });
});

// Only Chromium tells what a page holds.
inPlaywright(
  (engine) => {
    test.each([false, true])(
      "a file of 200 MiB makes the page's memory grow by less than 64 MiB, with compress: %s",
      async (compress) => {
        const key = `memory/${compress}`;
        const tab = await engine.tab(site.url);
        await tab.page.getByLabel("File").setInputFiles(fileOf("large.csv", 200 * MIB));
        const session = await tab.page.context().newCDPSession(tab.page);
        let buffered = 0;
        // Garbage that is not collected yet counts too.
        const held = async () => {
          const usage: Record<string, number> = await session.send("Runtime.getHeapUsage");
          const { usedSize = NaN, embedderHeapUsedSize = NaN, backingStorageSize = NaN } = usage;
          buffered = Math.max(buffered, backingStorageSize);
          return usedSize + embedderHeapUsedSize + backingStorageSize;
        };
        await session.send("HeapProfiler.collectGarbage");
        const before = await held();
        const bufferedBefore = buffered;
        let peak = before;
        const upload = tab.run(
          async ({ key, compress }) => {
            const [file] = (document.getElementById("file") as HTMLInputElement).files!;
            const cache = lib.open();
            await cache.set(key, file, { compress });
            return cache.stats().store.bytesWritten;
          },
          { key, compress },
        );
        let isOver = false;
        const watch = (async () => {
          while (!isOver) {
            peak = Math.max(peak, await held());
            await new Promise((resolve) => setTimeout(resolve, 100));
          }
        })();
        await upload.finally(() => (isOver = true));
        await watch;
        console.log(`the page grew by ${((peak - before) / MIB).toFixed(1)} MiB at its peak`);
        expect(peak - before).toBeLessThan(64 * MIB);
        // Two parts that are filled, and a chunk on each side of gzip, whenever the garbage is collected.
        expect(buffered - bufferedBefore).toBeLessThan(12 * MIB);
        expect(countOperations("part")).toBeGreaterThan(10);
        let size = 0;
        for await (const chunk of (await site.cache().getStream(key))!) size += chunk.byteLength;
        expect(size).toBe(200 * MIB);
      },
    );
  },
  ["chromium"],
);

async function digestOf(stream: ReadableStream<Uint8Array> | undefined): Promise<string> {
  const hash = createHash("sha256");
  for await (const chunk of stream!) hash.update(chunk);
  return hash.digest("hex");
}
