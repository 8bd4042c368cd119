import {
  CopyObjectCommand,
  DeleteObjectCommand,
  DeleteObjectsCommand,
  GetObjectCommand,
  HeadObjectCommand,
  PutObjectCommand,
} from "@aws-sdk/client-s3";
import type { DevServer } from "bucketcache/dev";
import fc from "fast-check";
import { beforeEach, describe, expect, test } from "vitest";
import { parseRange } from "../../src/dev/conditions.js";
import { BACKENDS, BUCKET, call, encode, presign, sdk, send, start } from "./tools.js";

const PATH = `/${BUCKET}/key`;
const ODD_KEYS = [
  "a",
  "a/b",
  "A",
  "a/",
  "a//b",
  "/leading",
  "../../etc/passwd",
  "a/../b",
  "./.",
  "..",
  "a\\..\\b",
  "CON",
  "nul.txt",
  "trailing.",
  "trailing ",
  " space",
  "a+b c%20d%2Fe",
  "a?b=c&d#e",
  "käse/日本語/😀",
  "\u{feff}bom",
  "line\nbreak\ttab\u0001",
  "<&>\"'",
  "__proto__",
  "*|:",
  "x".repeat(1024),
  `${"ü".repeat(511)}ab`,
];

describe.each(BACKENDS)("objects, kept in $kept,", ({ options }) => {
  let server: DevServer;

  beforeEach(async () => {
    server = await start(options());
  });

  const put = (body: string, headers: Record<string, string> = {}) =>
    call(server, { method: "PUT", path: PATH, headers, body });
  const get = (headers: Record<string, string> = {}, query: Record<string, string> = {}) =>
    call(server, { path: PATH, headers, query });

  test("keep every key apart, byte for byte", async () => {
    const client = sdk(server);
    for (const key of ODD_KEYS) {
      const path = `/${BUCKET}/${key.split("/").map(encode).join("/")}`;
      expect([key, (await call(server, { method: "PUT", path, body: `value of ${key}` })).status]).toEqual([key, 200]);
    }
    for (const key of ODD_KEYS) {
      const path = `/${BUCKET}/${key.split("/").map(encode).join("/")}`;
      expect((await call(server, { path })).body.toString()).toBe(`value of ${key}`);
    }
    const objects = ODD_KEYS.map((Key) => ({ Key }));
    const { Deleted } = await client.send(new DeleteObjectsCommand({ Bucket: BUCKET, Delete: { Objects: objects } }));
    expect(Deleted?.map(({ Key }) => Key)).toEqual(ODD_KEYS);
    expect((await call(server, { path: `/${BUCKET}/a` })).status).toBe(404);
  });

  test("take no key over 1,024 bytes, and no path that is not UTF-8", async () => {
    for (const key of ["x".repeat(1025), "ü".repeat(513)]) {
      const answer = await call(server, { method: "PUT", path: `/${BUCKET}/${encode(key)}` });
      expect([answer.status, answer.xml("Code")]).toEqual([400, "KeyTooLongError"]);
    }
    for (const path of [`/${BUCKET}/%ff`, `/${BUCKET}/%`, `/${BUCKET}/%zz`]) {
      expect([path, (await call(server, { path })).xml("Code")]).toEqual([path, "InvalidURI"]);
    }
  });

  test("come back with the headers and the metadata that they were stored with", async () => {
    const headers = {
      "content-type": "text/x; charset=utf-8",
      "cache-control": "no-store, bucketcache=1",
      "content-disposition": 'attachment; filename="a b.txt"',
      "content-encoding": "gzip",
      "content-language": "de",
      expires: "Thu, 01 Jan 2037 00:00:00 GMT",
      "x-amz-meta-expires_at": "1795310019.4",
      "x-amz-meta-__proto__": "x",
    };
    const stored = await put("value", headers);
    for (const method of ["GET", "HEAD"]) {
      const read = await call(server, { method, path: PATH });
      expect(read.headers).toMatchObject({ ...headers, etag: stored.headers["etag"], "content-length": "5" });
      expect(read.headers["accept-ranges"]).toBe("bytes");
      expect(read.headers["x-amz-request-id"]).toMatch(/^[0-9A-F]{16}$/);
      expect(Math.abs(Date.parse(String(read.headers["date"])) - Date.now())).toBeLessThan(5000);
      expect(read.body.toString()).toBe(method === "GET" ? "value" : "");
    }
    await put("new");
    const { headers: plain } = await get();
    expect(plain["content-type"]).toBe("binary/octet-stream");
    expect(plain["x-amz-meta-expires_at"]).toBeUndefined();
  });

  test("take 2 KB of metadata and no more", async () => {
    expect((await put("v", { "x-amz-meta-a": "x".repeat(2047) })).status).toBe(200);
    const answer = await put("v", { "x-amz-meta-a": "x".repeat(2048) });
    expect([answer.status, answer.xml("Code")]).toEqual([400, "MetadataTooLarge"]);
  });

  test("refuse what would be lost: tags, locks, keys of one's own", async () => {
    for (const name of ["x-amz-tagging", "x-amz-object-lock-mode", "x-amz-server-side-encryption-customer-algorithm"]) {
      expect((await put("v", { [name]: "x" })).status).toBe(501);
    }
  });

  test.each([
    ["bytes=0-3", 206, "0123", "bytes 0-3/10"],
    ["bytes=4-", 206, "456789", "bytes 4-9/10"],
    ["bytes=-3", 206, "789", "bytes 7-9/10"],
    ["bytes=-99", 206, "0123456789", "bytes 0-9/10"],
    ["bytes=8-99", 206, "89", "bytes 8-9/10"],
    ["bytes=10-", 416, undefined, "bytes */10"],
    ["bytes=-0", 416, undefined, "bytes */10"],
    ["bytes=0-1,3-4", 200, "0123456789", undefined],
    ["bytes=3-1", 200, "0123456789", undefined],
    ["lines=0-1", 200, "0123456789", undefined],
  ])("are read by range: %s", async (range, status, body, contentRange) => {
    await put("0123456789");
    const answer = await get({ range });
    expect([answer.status, answer.headers["content-range"]]).toEqual([status, contentRange]);
    if (body === undefined) expect(answer.xml("Code")).toBe("InvalidRange");
    else expect(answer.body.toString()).toBe(body);
  });

  test("that are empty have no range", async () => {
    await put("");
    expect((await get()).headers["content-length"]).toBe("0");
    expect((await get({ range: "bytes=0-" })).status).toBe(416);
  });

  test("are read under conditions", async () => {
    const etag = String((await put("value")).headers["etag"]);
    const modified = String((await get()).headers["last-modified"]);
    const before = new Date(Date.parse(modified) - 1000).toUTCString();
    for (const [headers, status] of [
      [{ "if-match": etag }, 200],
      [{ "if-match": "*" }, 200],
      [{ "if-match": `"x", ${etag}` }, 200],
      [{ "if-match": '"x"' }, 412],
      [{ "if-none-match": etag }, 304],
      [{ "if-none-match": `W/${etag}` }, 304],
      [{ "if-none-match": "*" }, 304],
      [{ "if-none-match": '"x"' }, 200],
      [{ "if-modified-since": modified }, 304],
      [{ "if-modified-since": before }, 200],
      [{ "if-modified-since": "soon" }, 200],
      [{ "if-unmodified-since": modified }, 200],
      [{ "if-unmodified-since": before }, 412],
      // A tag that was compared makes the date beside it irrelevant.
      [{ "if-match": etag, "if-unmodified-since": before }, 200],
      [{ "if-none-match": '"x"', "if-modified-since": modified }, 200],
    ] as [Record<string, string>, number][]) {
      for (const method of ["GET", "HEAD"]) {
        const answer = await call(server, { method, path: PATH, headers });
        expect([headers, method, answer.status]).toEqual([headers, method, status]);
      }
    }
  });

  test("are not modified without metadata, as on S3", async () => {
    const etag = String((await put("value", { "x-amz-meta-a": "1", "cache-control": "no-store" })).headers["etag"]);
    const { status, headers, body } = await get({ "if-none-match": etag });
    expect([status, headers["etag"], body.length]).toEqual([304, etag, 0]);
    expect(headers["last-modified"]).toBeDefined();
    expect(headers["x-amz-meta-a"]).toBeUndefined();
    expect(headers["content-length"]).toBeUndefined();
  });

  test("are resumed only when they are the same: If-Range", async () => {
    const etag = String((await put("0123456789")).headers["etag"]);
    expect((await get({ range: "bytes=5-", "if-range": etag })).status).toBe(206);
    expect((await get({ range: "bytes=5-", "if-range": '"x"' })).body.toString()).toBe("0123456789");
  });

  test("are written under conditions, and stay as they were where these fail", async () => {
    const absent = await put("v", { "if-match": '"x"' });
    expect([absent.status, absent.xml("Code")]).toEqual([404, "NoSuchKey"]);
    const first = await put("1", { "if-none-match": "*" });
    expect(first.status).toBe(200);
    const second = await put("2", { "if-none-match": "*" });
    expect([second.status, second.xml("Code"), second.xml("Condition")]).toEqual([
      412,
      "PreconditionFailed",
      "If-None-Match",
    ]);
    expect((await put("3", { "if-match": '"x"' })).status).toBe(412);
    expect((await get()).body.toString()).toBe("1");
    expect((await put("4", { "if-match": String(first.headers["etag"]) })).status).toBe(200);
    expect((await put("5", { "if-match": "*" })).status).toBe(200);
    expect((await put("6", { "if-none-match": '"x"' })).status).toBe(501);
    expect((await get()).body.toString()).toBe("5");
  });

  test("have one winner when eight write at once with If-None-Match", async () => {
    const answers = await Promise.all(
      Array.from({ length: 8 }, (_, index) => put(`value ${index}`, { "if-none-match": "*" })),
    );
    const winners = answers.flatMap(({ status }, index) => (status === 200 ? [index] : []));
    expect(winners).toHaveLength(1);
    expect(answers.filter(({ status }) => status === 412)).toHaveLength(7);
    expect((await get()).body.toString()).toBe(`value ${winners[0]}`);
  });

  test("are deleted under conditions, which MinIO ignores", async () => {
    const remove = (headers: Record<string, string> = {}) => call(server, { method: "DELETE", path: PATH, headers });
    expect((await remove()).status).toBe(204);
    expect((await remove({ "if-match": "*" })).xml("Code")).toBe("NoSuchKey");
    const etag = String((await put("value")).headers["etag"]);
    expect((await remove({ "if-match": '"x"' })).status).toBe(412);
    expect((await get()).status).toBe(200);
    expect((await remove({ "if-match": etag })).status).toBe(204);
    expect((await get()).status).toBe(404);
  });

  test("are deleted in batches, each with its own condition", async () => {
    const client = sdk(server);
    const etags: (string | undefined)[] = [];
    for (const Key of ["a", "b", "c"]) {
      etags.push((await client.send(new PutObjectCommand({ Bucket: BUCKET, Key, Body: Key }))).ETag);
    }
    const Objects = [{ Key: "a" }, { Key: "b", ETag: etags[1] }, { Key: "c", ETag: '"x"' }, { Key: "absent" }];
    const { Deleted, Errors } = await client.send(new DeleteObjectsCommand({ Bucket: BUCKET, Delete: { Objects } }));
    expect(Deleted?.map(({ Key }) => Key)).toEqual(["a", "b", "absent"]);
    expect(Errors).toMatchObject([{ Key: "c", Code: "PreconditionFailed" }]);
    const quiet = await client.send(
      new DeleteObjectsCommand({ Bucket: BUCKET, Delete: { Objects: [{ Key: "c" }], Quiet: true } }),
    );
    expect(quiet.Deleted).toBeUndefined();
    const body = "<Delete><Object><Key>a</Key></Object></Delete>";
    const unverified = await call(server, { method: "POST", path: `/${BUCKET}`, query: { delete: "" }, body });
    expect([unverified.status, unverified.xml("Code")]).toEqual([400, "InvalidRequest"]);
  });

  test("may be read under other headers, which only a signature can ask for", async () => {
    await put("value", { "content-encoding": "gzip", "content-type": "a/b" });
    const query = {
      "response-content-encoding": "identity",
      "response-content-type": "text/plain",
      "response-content-disposition": 'attachment; filename="ü.txt"',
      "response-cache-control": "max-age=1",
      "response-content-language": "fr",
      "response-expires": "0",
    };
    const presigned = await send(server, presign(server, { path: PATH, query }));
    expect(presigned.headers).toMatchObject({
      "content-encoding": "identity",
      "content-type": "text/plain",
      "cache-control": "max-age=1",
      "content-language": "fr",
      expires: "0",
    });
    for (const value of ["日本", "a\r\nx-injected: 1"]) {
      const answer = await get({}, { "response-content-type": value });
      expect([answer.status, answer.xml("Code")]).toEqual([400, "InvalidArgument"]);
    }
  });

  test("are copied, with their metadata or with new, under conditions on both ends", async () => {
    const client = sdk(server);
    const object = { Bucket: BUCKET, Key: "a b/ü+" };
    const CopySource = `${BUCKET}/${encode(object.Key)}`;
    const target = { Bucket: BUCKET, Key: "copy", CopySource };
    const { ETag } = await client.send(
      new PutObjectCommand({ ...object, Body: "value", Metadata: { a: "1" }, ContentType: "a/b" }),
    );
    const read = async (Key: string) => {
      const { Body, Metadata, ContentType } = await client.send(new GetObjectCommand({ Bucket: BUCKET, Key }));
      return { body: await Body?.transformToString(), Metadata, ContentType };
    };
    const { CopyObjectResult } = await client.send(new CopyObjectCommand({ ...target, CopySourceIfMatch: ETag }));
    expect(CopyObjectResult?.ETag).toBe(ETag);
    expect(await read("copy")).toEqual({ body: "value", Metadata: { a: "1" }, ContentType: "a/b" });
    await client.send(
      new CopyObjectCommand({ ...target, MetadataDirective: "REPLACE", Metadata: { b: "2" }, ContentType: "c/d" }),
    );
    expect(await read("copy")).toEqual({ body: "value", Metadata: { b: "2" }, ContentType: "c/d" });

    for (const [condition, name] of [
      [{ CopySourceIfMatch: '"x"' }, "PreconditionFailed"],
      [{ CopySourceIfNoneMatch: ETag }, "PreconditionFailed"],
      [{ CopySourceIfModifiedSince: new Date(Date.now() + 10_000) }, "PreconditionFailed"],
      [{ CopySourceIfUnmodifiedSince: new Date(0) }, "PreconditionFailed"],
      [{ IfNoneMatch: "*" }, "PreconditionFailed"],
      [{ CopySource: `${BUCKET}/absent` }, "NoSuchKey"],
      [{ CopySource: "absent-bucket/key" }, "NoSuchBucket"],
      [{ CopySource: BUCKET }, "InvalidArgument"],
      [{ Key: object.Key }, "InvalidRequest"],
    ] as const) {
      await expect(client.send(new CopyObjectCommand({ ...target, ...condition }))).rejects.toMatchObject({ name });
    }
    // The copy lives on when its source is gone.
    await client.send(new DeleteObjectCommand(object));
    expect((await read("copy")).body).toBe("value");
  });

  test("of many megabytes go in and out unchanged, also by range, and while they are replaced", async () => {
    const bytes = Buffer.alloc(9_000_001);
    for (let index = 0; index < bytes.length; index += 4096)
      bytes.writeUInt32LE(index, Math.min(index, bytes.length - 4));
    const client = sdk(server);
    const object = { Bucket: BUCKET, Key: "key" };
    await client.send(new PutObjectCommand({ ...object, Body: bytes }));
    const [whole, part] = await Promise.all([
      client.send(new GetObjectCommand(object)),
      client.send(new GetObjectCommand({ ...object, Range: "bytes=1000000-8000000" })),
    ]);
    // The readers have what was there when they began.
    await client.send(new PutObjectCommand({ ...object, Body: "new" }));
    expect(Buffer.from((await whole.Body?.transformToByteArray()) ?? []).equals(bytes)).toBe(true);
    const expected = bytes.subarray(1_000_000, 8_000_001);
    expect(Buffer.from((await part.Body?.transformToByteArray()) ?? []).equals(expected)).toBe(true);
    expect((await client.send(new HeadObjectCommand(object))).ContentLength).toBe(3);
  });
});

test("a range is what arithmetic says it is", () => {
  const size = fc.integer({ min: 1, max: 50 });
  fc.assert(
    fc.property(
      size,
      fc.option(fc.nat(60), { nil: undefined }),
      fc.option(fc.nat(60), { nil: undefined }),
      (length, first, last) => {
        const all = Array.from({ length }, (_, index) => index);
        let expected: number[] | undefined;
        if (first === undefined && last === undefined) expected = undefined;
        else if (first === undefined) expected = last === 0 ? [] : all.slice(-(last ?? 0));
        else if (last !== undefined && last < first) expected = undefined;
        else expected = all.slice(first, last === undefined ? undefined : last + 1);
        const header = `bytes=${first ?? ""}-${last ?? ""}`;
        if (expected?.length === 0) {
          expect(() => parseRange(header, length)).toThrow(/not satisfiable/);
          return;
        }
        const range = parseRange(header, length);
        expect(range && all.slice(range.start, range.end)).toEqual(expected);
      },
    ),
  );
});
