// Large bodies in and out.
import type { Body } from "bucketcache";
import { bytesOf, pattern, textOf, type Bench } from "./bench.js";
import { deferred } from "../../support/deferred.js";
import { check, equal, equalBytes, rejection, rejectsAsMisuse, rejectsWith, until } from "./expect.js";

const MIB = 1 << 20;
const TEXT = "größe;name\n".repeat(5_000);
const BYTES = new TextEncoder().encode(TEXT);

async function* pieces<T>(whole: { length: number; slice(from: number, to?: number): T }): AsyncGenerator<T> {
  for (let at = 0; at < whole.length; at += 10_000) yield whole.slice(at, at + 10_000);
}

/** As it is pulled, in chunks; then `end` happens. `ReadableStream.from` is not everywhere. */
function streamOf<T>(whole: { length: number; slice(from: number, to: number): T }, size: number, end?: () => unknown) {
  let at = 0;
  return new ReadableStream<T>(
    {
      async pull(controller) {
        if (at < whole.length) return controller.enqueue(whole.slice(at, (at += size)));
        await end?.();
        controller.close();
      },
    },
    { highWaterMark: 0 },
  );
}

const BODIES: [string, () => Body][] = [
  ["a stream of bytes", () => streamOf(BYTES, 7_001)],
  ["a stream of strings", () => streamOf(TEXT, 7_001)],
  ["a generator of bytes", () => pieces(BYTES)],
  ["a generator of strings", () => pieces(TEXT)],
  ["a Blob", () => new Blob([TEXT])],
  ["a Response", () => new Response(TEXT)],
];

export function streams({ runner: { describe, test }, cache, open, prefix }: Bench): void {
  describe("streams", () => {
    test("are stored from every kind of body, plain and compressed", async () => {
      for (const [index, [name, body]] of BODIES.entries()) {
        await cache("bodies").set(`${index}`, body(), { contentType: "text/csv", compress: index % 2 === 0 });
        equal(await textOf(await cache("bodies").getStream(`${index}`)), TEXT, name);
        const head = await open().head(`${prefix}bodies/${index}`);
        equal(head!.metadata["compressed"], index % 2 === 0 ? "true" : undefined, `${name}, its metadata`);
        equal(head!.contentType, "text/csv", `${name}, its type`);
      }
      equal(await cache("bodies").getStream("absent"), undefined, "what is not there");
    });

    test("come as a Response, in full, in part and as they are stored", async () => {
      const one = cache("response");
      await one.set("plain", new Blob([BYTES]), { contentType: "text/csv", compress: false });
      await one.set("zipped", new Blob([BYTES]), { contentType: "text/csv" });
      const whole = (await one.getResponse("zipped"))!;
      equal([whole.status, whole.headers.get("content-type")], [200, "text/csv"], "the whole");
      equal(await whole.text(), TEXT, "the whole");
      const part = (await one.getResponse("plain", { range: { offset: 5, length: 10 } }))!;
      equal(part.status, 206, "a part");
      equal(part.headers.get("content-range"), `bytes 5-14/${BYTES.length}`, "a part");
      equalBytes(new Uint8Array(await part.arrayBuffer()), BYTES.slice(5, 15), "a part");
      const rest = await one.getStream("plain", { range: { offset: BYTES.length - 4 } });
      equalBytes(await bytesOf(rest), BYTES.slice(-4), "the rest");
      await rejectsWith("ERR_UNSUPPORTED", one.getStream("zipped", { range: { offset: 1 } }), "a part of gzip");
      await rejectsAsMisuse(one.getStream("plain", { range: { offset: -1 } }), /range/, "an impossible part");
      const raw = await bytesOf(await one.getStream("zipped", { raw: true }));
      equalBytes(raw.subarray(0, 2), new Uint8Array([0x1f, 0x8b]), "gzip");
      check(raw.length * 5 < BYTES.length, "should be smaller");
    });

    for (const [name, body] of [
      ["stream", (data: Uint8Array<ArrayBuffer>) => streamOf(data, 300_007)],
      ["Blob", (data: Uint8Array<ArrayBuffer>) => new Blob([data])],
    ] as const) {
      test(`of 12 MiB from a ${name} go up in parts and come back whole`, async () => {
        const data = pattern(12 * MIB + 345);
        const one = cache(`large-${name}`, { open: { partSize: 5 * MIB } });
        const progress: number[] = [];
        await one.set("key", body(data), { compress: false, onProgress: ({ loaded }) => progress.push(loaded) });
        equal(progress.at(-1), data.length, "progress at the end");
        check(progress.length > 2, "progress should be told on the way");
        const object = `${prefix}large-${name}/key`;
        equal((await open().head(object))?.size, data.length, "what is stored");
        equalBytes(await bytesOf(await one.getStream("key")), data, "the stream");
        equalBytes((await one.get<Uint8Array>("key"))!, data, "the value");
        const range = { offset: 5 * MIB - 3, length: 7 };
        equalBytes(
          await bytesOf(await one.getStream("key", { range })),
          data.slice(5 * MIB - 3, 5 * MIB + 4),
          "a part",
        );
        const listed = [];
        for await (const { key, size } of one.list()) listed.push([key, size]);
        equal(listed, [["key", data.length]], "the list");
      });
    }

    test("of 12 MiB are compressed as they flow", async () => {
      const data = pattern(12 * MIB);
      for (let i = 0; i < data.length; i += 16) data.fill(7, i, i + 9);
      const one = cache("large-gzip", { open: { partSize: 5 * MIB } });
      await one.set("key", streamOf(data, 300_007), { compress: true });
      equal((await open().head(`${prefix}large-gzip/key`))?.metadata["compressed"], "true", "its metadata");
      equalBytes(await bytesOf(await one.getStream("key")), data, "the stream");
    });

    test("whose source fails leave what was there, and reject with the source's own error", async () => {
      const one = cache("failing-source", { open: { partSize: 5 * MIB } });
      await one.set("key", "old");
      const boom = new RangeError("boom");
      for (const size of [100, 11 * MIB]) {
        const source = streamOf(pattern(size), MIB, () => Promise.reject(boom));
        check((await rejection(one.set("key", source), `a source of ${size}`)) === boom, "should be its own error");
      }
      equal(await cache("failing-source").get("key"), "old", "what was there");
    });

    test("are given up on abort, on the way up and on the way down", async () => {
      const one = cache("abort", { open: { partSize: 5 * MIB } });
      await one.set("key", "old");
      const reason = new Error("enough");
      const up = new AbortController();
      let cancelled: unknown;
      const endless = new ReadableStream<Uint8Array>({
        pull: (controller) => controller.enqueue(new Uint8Array(MIB)),
        cancel: (why) => void (cancelled = why),
      });
      const onProgress = ({ loaded }: { loaded: number }) => loaded > 6 * MIB && up.abort(reason);
      const uploading = one.set("key", endless, { signal: up.signal, onProgress });
      check((await rejection(uploading, "the upload")) === reason, "should reject with the signal's reason");
      check(cancelled === reason, "the source should be cancelled");
      equal(await cache("abort").get("key"), "old", "what was there");

      await one.set("large", pattern(12 * MIB), { compress: false });
      const down = new AbortController();
      const reader = (await one.getStream("large", { signal: down.signal }))!.getReader();
      await reader.read();
      down.abort(reason);
      const rest = (async () => {
        while (!(await reader.read()).done);
      })();
      check((await rejection(rest, "the download")) === reason, "should reject with the signal's reason");
    });

    test("that nobody reads to their end do not hold up others", async () => {
      const one = cache("unread");
      await one.set("large", pattern(MIB), { compress: false });
      for (let i = 0; i < 40; i++) {
        const stream = (await one.getStream("large"))!;
        if (i % 2) await stream.cancel();
        else {
          const reader = stream.getReader();
          await reader.read();
          await reader.cancel();
        }
      }
      equal((await one.get<Uint8Array>("large"))?.length, MIB, "the next read");
    });

    test("of a cold key are loaded once for all who ask", async () => {
      const one = cache("shared");
      const gate = deferred<Blob>();
      const load = () => gate.promise;
      const asking = [1, 2, 3].map(() => one.getOrSetStream("key", load, { contentType: "text/csv" }));
      await until(() => one.stats().calls === 1, "the call");
      gate.resolve(new Blob([TEXT]));
      equal(await Promise.all((await Promise.all(asking)).map(textOf)), [TEXT, TEXT, TEXT], "what all get");
      equal(one.stats().calls, 1, "calls");
      equal(await textOf(await cache("shared").getStream("key")), TEXT, "what is stored");
    });
  });
}
