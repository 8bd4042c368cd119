// Every kind of value, and the same entries from Node to here and back.
import type { Cache } from "bucketcache";
import { bytesOf, pattern, textOf, type Bench } from "./bench.js";
import { check, equal, equalBytes } from "./expect.js";
import type { Runner } from "./harness.js";

/** Long enough to be worth compressing. */
const LONG = "größer, 大きい, 🙂\n".repeat(2_000);

/** Values to set, and the value that a read returns where it differs. */
const VALUES: [name: string, value: () => unknown, got?: () => unknown][] = [
  ["null", () => null],
  ["undefined", () => undefined],
  ["a boolean", () => false],
  ["a number", () => 0.1],
  ["minus zero", () => -0],
  ["not a number", () => NaN],
  ["a big integer", () => 2n ** 70n],
  ["a string", () => "größe, 大きい, 🙂"],
  ["a string that looks like a number", () => "123"],
  ["an empty string", () => ""],
  ["a byte order mark", () => "\ufeffbom"],
  ["a lone surrogate", () => "a\ud800b"],
  ["a long string", () => LONG],
  ["plain data", () => ({ b: [1, "2", null, { c: true }], a: { __proto: 1 }, ü: -1.5e-7 })],
  ["a property named __proto__", () => JSON.parse('{"__proto__": {"polluted": 1}}') as unknown],
  ["a Date", () => new Date(1_795_310_019_460)],
  ["a Map and a Set", () => new Map<unknown, unknown>([["z", new Set([3, 1n])], [{ a: 1 }, undefined]])], // prettier-ignore
  ["a URL and a RegExp", () => ({ url: new URL("https://example.test/a?b=ü"), pattern: /a+\/b/giu })],
  ["typed arrays in data", () => ({ floats: new Float64Array([0.5, -0]), bytes: new Uint8Array([0, 255]) })],
  ["undefined in an array", () => [undefined, 1]],
  ["bytes", () => pattern(1_000)],
  ["no bytes", () => new Uint8Array()],
  ["an ArrayBuffer", () => pattern(100).buffer.slice(0, 100), () => pattern(100)],
  ["a Blob", () => new Blob([LONG], { type: "text/plain" }), () => new TextEncoder().encode(LONG)],
  ["much data", () => Array.from({ length: 3_000 }, (_, id) => ({ id, name: `name ${id % 7}` }))],
];

const ARGUMENTS = [{ b: 1, a: [new Date(0), 2n] }, "ü"] as const;
const RESULT = { made: new Date(5), rows: [1, 2, 3] };

export function values({ runner: { describe, test }, cache }: Bench): void {
  describe("values", () => {
    for (const compress of ["auto", true, false] as const) {
      test(`of every kind come back, compress ${compress}`, async () => {
        const place = `values-${compress}`;
        const writer = cache(place, { compress });
        const reader = cache(place);
        await Promise.all(VALUES.map(([name, value]) => writer.set(name, value())));
        for (const [name, value, got = value] of VALUES) {
          equal(await reader.get(name), got(), name);
          equal((await reader.getEntry(name))?.source, "memory", `${name}, when asked again`);
        }
      });
    }

    test("that compress are stored smaller, and memory holds them plain", async () => {
      const one = cache("gzip");
      await one.set("auto", LONG);
      await one.set("plain", LONG, { compress: false });
      const [auto, plain] = await Promise.all([cache("gzip").getEntry("auto"), cache("gzip").getEntry("plain")]);
      check(auto!.size * 10 < plain!.size, `${auto!.size} bytes compressed, ${plain!.size} plain`);
      equal([auto!.value, plain!.value, await one.get("auto")], [LONG, LONG, LONG], "the text");
    });

    test("are got, set and deleted many at a time, listed and cleared", async () => {
      const one = cache("many");
      const keys = Array.from({ length: 25 }, (_, i) => `${i % 2 ? "odd" : "even"}/${String(i).padStart(2, "0")}`);
      await one.setMany(keys.map((key, value) => ({ key, value })));
      const other = cache("many");
      equal(await other.getMany([...keys, "absent"]), [...keys.map((_, i) => i), undefined], "what was set");
      equal([await other.has(keys[3]!), await other.has("absent")], [true, false], "has");
      await one.deleteMany([keys[0]!, keys[2]!, "absent"]);
      await one.clear({ prefix: "odd/" });
      const listed = [];
      for await (const { key } of one.list()) listed.push(key);
      equal(listed, keys.filter((key) => key.startsWith("even/")).slice(2).sort(), "what is left"); // prettier-ignore
      await one.clear({ all: true });
      equal(await cache("many").getMany(keys.slice(0, 5)), Array(5).fill(undefined), "after clear");
    });
  });
}

/** Writes, on one runtime, what `readFrom` reads on another. */
export async function writeFor(cache: Cache): Promise<void> {
  for (const [name, value] of VALUES) await cache.set(`value/${name}`, value());
  await cache.set("zipped", LONG, { compress: true });
  await cache.set("stream.csv", new Blob([LONG]).stream(), { contentType: "text/csv" });
  await cache.wrap((..._: unknown[]) => RESULT, { name: "shared" })(...ARGUMENTS);
}

/** Registers that what another runtime wrote is read here as it was meant. */
export function readFrom({ describe, test }: Runner, writer: string, open: () => Cache): void {
  describe(`written by ${writer}`, () => {
    test("every kind of value", async () => {
      const cache = open();
      const entries = await Promise.all(VALUES.map(([name]) => cache.getEntry(`value/${name}`)));
      VALUES.forEach(([name, value, got = value], i) => {
        check(entries[i] !== undefined, `${name}: is not there`);
        equal(entries[i].value, got(), name);
      });
    });
    test("a compressed value", async () => equal(await open().get("zipped"), LONG, "the text"));
    test("a compressed stream", async () => {
      equal(await textOf(await open().getStream("stream.csv")), LONG, "the text");
      const raw = await bytesOf(await open().getStream("stream.csv", { raw: true }));
      equalBytes(raw.subarray(0, 2), new Uint8Array([0x1f, 0x8b]), "gzip");
    });
    test("the result of a function", async () => {
      const cache = open();
      const fn = cache.wrap((..._: unknown[]) => ({ made: new Date(0), rows: [0] }), { name: "shared" });
      equal(await fn(...ARGUMENTS), RESULT, "the result");
      equal(cache.stats().calls, 0, "calls");
    });
  });
}
