import {
  ListObjectsCommand,
  ListObjectsV2Command,
  paginateListObjectsV2,
  PutObjectCommand,
  type S3Client,
} from "@aws-sdk/client-s3";
import type { DevServer } from "bucketcache/dev";
import fc from "fast-check";
import { beforeEach, describe, expect, test } from "vitest";
import { compareKeys, SortedKeys } from "../../src/dev/sorted-keys.js";
import { parseXml, tag } from "../../src/dev/xml.js";
import { BACKENDS, BUCKET, call, sdk, start } from "./tools.js";

const KEYS = ["a", "a b", "a/1", "a/2", "a/b/1", "b", "b+%", "c/", "c//d", "\ud7ff", "\ue000", "😀", "\nline", "<&>"];

function bytewise(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b));
}

describe.each(BACKENDS)("a list, kept in $kept,", ({ options }) => {
  let server: DevServer;
  let client: S3Client;

  beforeEach(async () => {
    server = await start(options());
    client = sdk(server);
    for (const Key of KEYS) await client.send(new PutObjectCommand({ Bucket: BUCKET, Key, Body: Key }));
  });

  /** Lists the whole set of keys as S3's documentation describes it. */
  function expected(prefix: string, delimiter: string, after = ""): { keys: string[]; prefixes: string[] } {
    const keys: string[] = [];
    const prefixes = new Set<string>();
    for (const key of [...KEYS].sort(bytewise)) {
      if (!key.startsWith(prefix) || bytewise(key, after) <= 0) continue;
      const at = delimiter === "" ? -1 : key.indexOf(delimiter, prefix.length);
      if (at < 0) keys.push(key);
      else prefixes.add(key.slice(0, at + delimiter.length));
    }
    return { keys, prefixes: [...prefixes] };
  }

  async function listed(
    input: { Prefix?: string; Delimiter?: string; StartAfter?: string; EncodingType?: "url" },
    pageSize: number,
  ) {
    const keys: (string | undefined)[] = [];
    const prefixes: (string | undefined)[] = [];
    const decode = (text = "") => (input.EncodingType === "url" ? decodeURIComponent(text.replaceAll("+", " ")) : text);
    for await (const page of paginateListObjectsV2({ client, pageSize }, { Bucket: BUCKET, ...input })) {
      const found = [...(page.Contents ?? []), ...(page.CommonPrefixes ?? [])];
      expect(page.KeyCount).toBe(found.length);
      expect(found.length).toBeLessThanOrEqual(pageSize);
      keys.push(...(page.Contents ?? []).map(({ Key }) => decode(Key)));
      prefixes.push(...(page.CommonPrefixes ?? []).map(({ Prefix }) => decode(Prefix)));
    }
    return { keys, prefixes };
  }

  test("holds every key once, in the order of its bytes, whatever the size of its pages", async () => {
    for (const pageSize of [1, 2, 3, 1000]) {
      for (const [Prefix, Delimiter] of [
        ["", ""],
        ["", "/"],
        ["a", "/"],
        ["a/", "/"],
        ["c/", "/"],
        ["", " b"],
        ["x", "/"],
      ] as const) {
        const shown = [pageSize, Prefix, Delimiter];
        expect([...shown, await listed({ Prefix, Delimiter }, pageSize)]).toEqual([
          ...shown,
          expected(Prefix, Delimiter),
        ]);
      }
    }
  });

  test("starts after a key, and takes keys in URL encoding", async () => {
    for (const StartAfter of ["a", "a/1", "a/zzz", "\ud7ff", "zzz"]) {
      expect(await listed({ StartAfter, EncodingType: "url" }, 2)).toEqual(expected("", "", StartAfter));
    }
    const { body } = await call(server, {
      path: `/${BUCKET}`,
      query: { "list-type": "2", prefix: "a b", "encoding-type": "url" },
    });
    expect(body.toString()).toContain("<Key>a+b</Key>");
  });

  test("says of each object what a HEAD says", async () => {
    const { Contents } = await client.send(
      new ListObjectsV2Command({ Bucket: BUCKET, Prefix: "a/1", FetchOwner: true }),
    );
    const { headers } = await call(server, { method: "HEAD", path: `/${BUCKET}/a/1` });
    expect(Contents).toMatchObject([{ Key: "a/1", Size: 3, ETag: headers["etag"], StorageClass: "STANDARD" }]);
    expect(Contents?.[0]?.LastModified?.toUTCString()).toBe(headers["last-modified"]);
    expect(Contents?.[0]?.Owner?.ID).toBeDefined();
  });

  test("in its first version goes on by marker", async () => {
    const first = await client.send(new ListObjectsCommand({ Bucket: BUCKET, MaxKeys: 4, Delimiter: "/" }));
    const rest = await client.send(
      new ListObjectsCommand({ Bucket: BUCKET, Delimiter: "/", Marker: first.NextMarker }),
    );
    const found = [first, rest].flatMap(({ Contents = [], CommonPrefixes = [] }) => [
      ...Contents.map(({ Key }) => Key),
      ...CommonPrefixes.map(({ Prefix }) => Prefix),
    ]);
    const { keys, prefixes } = expected("", "/");
    expect([...found].sort()).toEqual([...keys, ...prefixes].sort());
    expect([first.IsTruncated, rest.IsTruncated]).toEqual([true, false]);
  });

  test("of no keys is empty, and what cannot be asked is refused", async () => {
    const none = await client.send(new ListObjectsV2Command({ Bucket: BUCKET, MaxKeys: 0 }));
    expect([none.KeyCount, none.IsTruncated]).toEqual([0, false]);
    for (const query of [
      { "list-type": "2", "max-keys": "many" },
      { "list-type": "2", "max-keys": "-1" },
      { "list-type": "2", "continuation-token": "x" },
      { "list-type": "2", "encoding-type": "gzip" },
    ] as Record<string, string>[]) {
      const answer = await call(server, { path: `/${BUCKET}`, query });
      expect([query, answer.status, answer.xml("Code")]).toEqual([query, 400, "InvalidArgument"]);
    }
  });
});

test("keys are kept in the order of their bytes through any changes", () => {
  const key = fc.string({
    unit: fc.constantFrom("a", "b", "/", "\ud7ff", "\ue000", "\uffff", "😀", "\u{10ffff}"),
    maxLength: 4,
  });
  fc.assert(
    fc.property(fc.array(key), fc.array(key), fc.array(key), key, (loaded, added, deleted, from) => {
      const keys = new SortedKeys();
      const model = new Set(loaded);
      keys.load(model);
      for (const each of added) {
        if (!model.has(each)) keys.add(each);
        model.add(each);
      }
      for (const each of deleted) {
        model.delete(each);
        keys.delete(each);
      }
      const sorted = [...model].sort(bytewise);
      expect([...keys.from(from)]).toEqual(sorted.filter((each) => bytewise(each, from) >= 0));
      for (const each of sorted) expect(Math.sign(compareKeys(each, from))).toBe(Math.sign(bytewise(each, from)));
    }),
  );
});

test("any text survives XML", () => {
  // XML 1.0 has no way to write NUL.
  fc.assert(
    fc.property(
      fc.string({ unit: "binary" }).filter((text) => !text.includes("\0")),
      (text) => {
        expect(parseXml(Buffer.from(`<a>${tag("b", text)}</a>`)).children[0]?.text).toBe(text);
      },
    ),
  );
});

test("no bytes make the XML reader do anything but read or refuse", () => {
  const piece = fc.constantFrom(
    "<",
    ">",
    "/",
    "a",
    "<a>",
    "</a>",
    "<a/>",
    "<!--",
    "-->",
    "<![CDATA[",
    "]]>",
    "&",
    "&amp;",
    "&#x41;",
    "&#0;",
    ' b="c"',
    "<?xml ?>",
    " ",
  );
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 12 }), (pieces) => {
      try {
        expect(parseXml(Buffer.from(pieces.join(""))).name).toMatch(/^a/);
      } catch (error) {
        expect(error).toMatchObject({ name: "S3Error", code: "MalformedXML" });
      }
    }),
    { numRuns: 1000 },
  );
});
