import { CopyObjectCommand, HeadObjectCommand, ListObjectsV2Command } from "@aws-sdk/client-s3";
import { createCache, type Bytes, type Cache } from "bucketcache";
import { s3Store } from "bucketcache/s3";
import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";
import { makeBucket, type TestBucket } from "../support/bucket.js";
import { runPython } from "../support/python.js";
import { recordEvents, textOf } from "../support/stores.js";

let bucket: TestBucket;
let cache: Cache;

beforeAll(async () => {
  bucket = await makeBucket();
  cache = open();
});

afterAll(async () => {
  await cache.close();
  await bucket.remove();
});

function open(prefix = ""): Cache {
  return createCache({ store: s3Store(bucket.options), prefix, memory: false });
}

/** Runs a script that has the Python `cache` on this bucket, and resolves with the JSON that it prints. */
async function python(script: string, input: unknown = null): Promise<unknown> {
  const prelude = `
import gzip, json, os, sys, time
import boto3
from etl_pycache.s3_cache import S3Cache
BUCKET = os.environ["BUCKET"]
s3 = boto3.client("s3", endpoint_url=os.environ["ENDPOINT"])
cache = S3Cache(BUCKET, client=s3)
data = json.load(sys.stdin.buffer)
`;
  const { endpoint, region, credentials } = bucket.options;
  const env = {
    AWS_ACCESS_KEY_ID: credentials.accessKeyId,
    AWS_SECRET_ACCESS_KEY: credentials.secretAccessKey,
    AWS_DEFAULT_REGION: region,
    ENDPOINT: endpoint,
    BUCKET: bucket.bucket,
  };
  const printed = await runPython(inject("python"), prelude + script, { env, input: JSON.stringify(input) });
  return JSON.parse(printed) as unknown;
}

const XML = '<?xml version="1.0" encoding="UTF-8"?>\n<größe einheit="cm">180 &lt; 190</größe>\n';
const TEXT = "日本語, größe, 😀\n";
const BYTES = Uint8Array.of(0, 255, 254, 31, 139, 8);

describe("what we set, Python reads", () => {
  /** In Python bytes have no word in JSON: they come as {"bytes": [...]}. */
  const READ = `
def show(value):
    return {"bytes": list(value)} if isinstance(value, bytes) else value
print(json.dumps({key: show(cache.get(key)) for key in data}))`;

  test("string, XML, JSON, non-ASCII, bytes, empty, gzip, keys of every kind", async () => {
    const cases: Record<string, { value: unknown; python: unknown }> = {
      "ours/string": { value: "plain text", python: "plain text" },
      "ours/xml": { value: XML, python: XML },
      "ours/dict": { value: { a: [1, 2.5, null, true], ü: "😀" }, python: { a: [1, 2.5, null, true], ü: "😀" } },
      "ours/list": { value: [{ id: 1 }, "x"], python: [{ id: 1 }, "x"] },
      "ours/non-ascii": { value: TEXT, python: TEXT },
      "ours/bytes": { value: BYTES, python: { bytes: [...BYTES] } },
      "ours/empty": { value: "", python: "" },
      "ours/number": { value: 12.5, python: 12.5 },
      "ours/null": { value: null, python: null },
      "ours/käse +%20 (1)/日本語": { value: "odd key", python: "odd key" },
    };
    for (const compress of [false, true]) {
      await cache.setMany(Object.entries(cases).map(([key, { value }]) => ({ key, value, compress })));
      const head = await bucket.client.send(new HeadObjectCommand({ Bucket: bucket.bucket, Key: "ours/xml" }));
      expect(head.Metadata?.["compressed"]).toBe(compress ? "true" : undefined);
      const read = await python(READ, Object.keys(cases));
      expect(read).toEqual(Object.fromEntries(Object.entries(cases).map(([key, { python }]) => [key, python])));
    }
  });

  test("large text and JSON, gzipped by themselves", async () => {
    const rows = Array.from({ length: 20_000 }, (_, id) => ({ id, name: `größe ${id}` }));
    await cache.set("ours/rows", rows);
    await cache.set("ours/long", TEXT.repeat(10_000));
    const head = await bucket.client.send(new HeadObjectCommand({ Bucket: bucket.bucket, Key: "ours/rows" }));
    expect(head.Metadata?.["compressed"]).toBe("true");
    const script = `
rows, long = cache.get("ours/rows"), cache.get("ours/long")
print(json.dumps([len(rows), rows[19999], len(long), long == "日本語, größe, 😀\\n" * 10000]))`;
    expect(await python(script)).toEqual([20_000, rows[19_999], [...TEXT].length * 10_000, true]);
  });

  test("streams, by get and by get_stream", async () => {
    await cache.set("ours/stream", new Blob([TEXT.repeat(100_000)]).stream(), { compress: true });
    await cache.set("ours/plain", new Blob([TEXT.repeat(100_000)]).stream());
    const script = `
text = ("日本語, größe, 😀\\n" * 100000).encode()
plain = b"".join(cache.get_stream("ours/plain").iter_chunks())
raw = b"".join(cache.get_stream("ours/stream").iter_chunks())
print(json.dumps([cache.get("ours/stream").encode() == text, plain == text, gzip.decompress(raw) == text]))`;
    expect(await python(script)).toEqual([true, true, true]);
  });

  test("with its end: a value before it, nothing after it", async () => {
    await cache.set("ours/hour", "an hour", { ttl: "1h" });
    await cache.set("ours/short", "short", { ttl: "500ms" });
    const script = `
hour = cache.get("ours/hour")
end = float(s3.head_object(Bucket=BUCKET, Key="ours/hour")["Metadata"]["expires_at"])
deadline = time.time() + 20
while cache.get("ours/short") is not None and time.time() < deadline:
    time.sleep(0.05)
print(json.dumps([hour, 3500 < end - time.time() <= 3600, cache.get("ours/short")]))`;
    expect(await python(script)).toEqual(["an hour", true, null]);
  });

  test("and what it cannot know comes in the published tags, without an error", async () => {
    await cache.set("ours/date", new Date(0));
    expect(await python(READ, ["ours/date"])).toEqual({ "ours/date": { $$Date: "1970-01-01T00:00:00.000Z" } });
  });
});

describe("what Python set, we read", () => {
  test("string, XML, dict, list, non-ASCII, bytes, empty, plain and gzip", async () => {
    await python(
      `
for name, flag in [("plain", False), ("gzip", True)]:
    p = f"theirs/{name}/"
    cache.set(p + "string", "plain text", compress=flag)
    cache.set(p + "xml", data["xml"], compress=flag)
    cache.set(p + "dict", {"a": [1, 2.5, None, True], "ü": "😀"}, compress=flag)
    cache.set(p + "list", [{"id": 1}, "x"], compress=flag)
    cache.set(p + "text", data["text"], compress=flag)
    cache.set(p + "bytes", bytes([0, 255, 254, 31, 139, 8]), compress=flag)
    cache.set(p + "digits", "123", compress=flag)
    cache.set(p + "empty", "", compress=flag)
    cache.set(p + "no bytes", b"", compress=flag)
    cache.set(p + "long", data["text"] * 100000, compress=flag)
    cache.set(p + "key käse +%20/日本語", "odd key", compress=flag)
print("null")`,
      { xml: XML, text: TEXT },
    );
    for (const name of ["plain", "gzip"]) {
      const get = (key: string) => cache.get(`theirs/${name}/${key}`);
      expect(await get("string")).toBe("plain text");
      expect(await get("xml")).toBe(XML);
      expect(await get("dict")).toEqual({ a: [1, 2.5, null, true], ü: "😀" });
      expect(await get("list")).toEqual([{ id: 1 }, "x"]);
      expect(await get("text")).toBe(TEXT);
      expect(await get("bytes")).toStrictEqual(BYTES);
      // Python keeps no type: what looks like JSON is JSON, for its own `get` too.
      expect(await get("digits")).toBe(123);
      expect(await get("empty")).toBe("");
      expect(await get("no bytes")).toBe("");
      expect((await get("long")) === TEXT.repeat(100_000)).toBe(true);
      expect(await get("key käse +%20/日本語")).toBe("odd key");
      expect(await textOf(await cache.getStream(`theirs/${name}/xml`))).toBe(XML);
      expect(await (await cache.getResponse(`theirs/${name}/xml`))?.text()).toBe(XML);
      expect(await cache.getEntry(`theirs/${name}/xml`)).toMatchObject({
        value: XML,
        createdAt: undefined,
        expiresAt: undefined,
        contentType: "binary/octet-stream",
      });
      expect(await cache.getOrSet(`theirs/${name}/string`, () => "computed")).toBe("plain text");
    }
  });

  test("with its end: a value before it; after it a miss that deletes the object", async () => {
    const before = Date.now();
    await python(`
cache.set("theirs/hour", "an hour", ttl_seconds=3600)
cache.set("theirs/ended", "ended", ttl_seconds=-5)
cache.set("theirs/ended gzip", {"a": 1}, ttl_seconds=-5, compress=True)
print("null")`);
    const entry = await cache.getEntry("theirs/hour");
    expect(entry?.value).toBe("an hour");
    expect(Math.abs(Number(entry?.expiresAt) - before - 3_600_000)).toBeLessThan(60_000);
    expect(await cache.getMany(["theirs/ended", "theirs/ended gzip"])).toEqual([undefined, undefined]);
    await cache.flush();
    const { Contents } = await bucket.client.send(
      new ListObjectsV2Command({ Bucket: bucket.bucket, Prefix: "theirs/ended" }),
    );
    expect(Contents).toBeUndefined();
  });

  test("a stream, also one that it flagged compressed and stored plain, also in parts", async () => {
    await python(`
def chunks(n):
    for i in range(n):
        yield (f"row {i:07}\\n").encode() * 1000
cache.set("theirs/stream", chunks(10))
cache.set("theirs/flagged", chunks(10), compress=True)
cache.set("theirs/flagged large", chunks(900), compress=True)
cache.set("theirs/flagged bytes", iter([b"\\x1f", b"\\xff\\x00"]), compress=True)
cache.set("theirs/flagged empty", iter([]), compress=True)
cache.set("theirs/really gzip", iter([gzip.compress(b"row"), gzip.compress(b" and row")]), compress=True)
print("null")`);
    const rows = (n: number) =>
      Array.from({ length: n }, (_, i) => `row ${String(i).padStart(7, "0")}\n`.repeat(1_000)).join("");
    const head = await bucket.client.send(new HeadObjectCommand({ Bucket: bucket.bucket, Key: "theirs/flagged" }));
    expect(head).toMatchObject({ Metadata: { compressed: "true" }, ContentLength: 120_000 });
    for (const [key, n] of [
      ["stream", 10],
      ["flagged", 10],
      ["flagged large", 900],
    ] as const) {
      expect((await cache.get(`theirs/${key}`)) === rows(n)).toBe(true);
      expect((await textOf(await cache.getStream(`theirs/${key}`))) === rows(n)).toBe(true);
    }
    expect(await cache.get("theirs/flagged bytes")).toStrictEqual(Uint8Array.of(31, 255, 0));
    expect(await textOf(await cache.getStream("theirs/flagged empty"))).toBe("");
    expect(await cache.get("theirs/really gzip")).toBe("row and row");
    expect(await textOf(await cache.getStream("theirs/really gzip"))).toBe("row and row");
  });

  test("damaged gzip is a miss with an event, and a value of ours takes its place", async () => {
    await python(`
body = gzip.compress(b"row" * 1000)
s3.put_object(Bucket=BUCKET, Key="theirs/damaged", Body=body[:-9], Metadata={"compressed": "true"})
print("null")`);
    const errors = recordEvents(cache, "error");
    expect(await cache.get("theirs/damaged")).toBeUndefined();
    expect(errors).toMatchObject([{ key: "theirs/damaged", error: { code: "ERR_DAMAGED" } }]);
    expect(await cache.getOrSet("theirs/damaged", () => "ours")).toBe("ours");
    expect(await python('print(json.dumps(cache.get("theirs/damaged")))')).toBe("ours");
  });
});

test("one deletes what the other set, and each overwrites the other's", async () => {
  await cache.set("shared/ours", { by: "us" });
  await python('cache.delete("shared/ours"); cache.set("shared/theirs", {"by": "them"}, compress=True); print("null")');
  expect(await cache.get("shared/ours")).toBeUndefined();
  expect(await cache.get("shared/theirs")).toEqual({ by: "them" });
  await cache.set("shared/theirs", "us again");
  expect(await python('print(json.dumps(cache.get("shared/theirs")))')).toBe("us again");
  await cache.delete("shared/theirs");
  expect(await python('print(json.dumps(cache.get("shared/theirs")))')).toBeNull();
});

describe("the pickles of cache_s3_based under the same layout", () => {
  const DECORATED = `
from core_aws.decorators import cache_s3_based
calls = 0
@cache_s3_based(bucket=BUCKET, ttl=3600, s3_kwargs={"region_name": "us-east-1", "endpoint_url": os.environ["ENDPOINT"]})
def fetch(*args, **kwargs):
    global calls
    calls += 1
    return {"args": list(args)}
`;

  test("never crash us: they are listed, read as bytes, and not taken by wrap", async () => {
    expect(await python(`${DECORATED}\nprint(json.dumps([fetch("a"), fetch("a"), calls]))`)).toEqual([
      { args: ["a"] },
      { args: ["a"] },
      1,
    ]);
    const ours = open("cache/");
    const pickles: string[] = [];
    for await (const { key } of ours.list({ prefix: "fetch/" })) pickles.push(key);
    expect(pickles).toEqual([expect.stringMatching(/^fetch\/[0-9a-f]{32}$/)]);
    const pickle = await ours.get<Bytes>(pickles[0]!);
    expect(pickle).toBeInstanceOf(Uint8Array);
    expect(pickle?.[0]).toBe(0x80);

    const errors = recordEvents(ours, "error");
    const fetched = ours.wrap((...args: unknown[]) => Promise.resolve({ ours: args }), { name: "fetch" });
    expect(await fetched("a")).toEqual({ ours: ["a"] });

    // The same, should the digests ever meet: only an object that says that it is this function's result is one.
    await bucket.client.send(
      new CopyObjectCommand({
        Bucket: bucket.bucket,
        Key: `cache/${fetched.keyOf("b")}`,
        CopySource: `${bucket.bucket}/cache/${pickles[0]}`,
      }),
    );
    expect(await fetched.peek("b")).toBeUndefined();
    expect(await fetched("b")).toEqual({ ours: ["b"] });
    expect(await fetched.peek("b")).toEqual({ ours: ["b"] });
    expect(errors).toEqual([]);

    // Theirs is still theirs.
    expect(await python(`${DECORATED}\nprint(json.dumps([fetch("a"), calls]))`)).toEqual([{ args: ["a"] }, 0]);
    await ours.clear({ name: "fetch" });
    expect(await python(`${DECORATED}\nprint(json.dumps([fetch("a"), calls]))`)).toEqual([{ args: ["a"] }, 1]);
    await ours.close();
  });
});
