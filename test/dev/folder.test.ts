import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import {
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  GetObjectCommand,
  ListBucketsCommand,
  ListMultipartUploadsCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  UploadPartCommand,
} from "@aws-sdk/client-s3";
import { startDevServer } from "bucketcache/dev";
import { beforeEach, expect, test } from "vitest";
import { BUCKET, call, encode, sdk, start, temporaryFolder } from "./tools.js";

let directory: string;

beforeEach(() => {
  directory = temporaryFolder();
});

function files(folder = directory): string[] {
  return readdirSync(folder, { recursive: true, encoding: "utf8" }).filter((file) =>
    statSync(join(folder, file)).isFile(),
  );
}

function blobs(): string[] {
  return readdirSync(join(directory, "data"));
}

test("objects, their metadata and open uploads survive a restart", async () => {
  const first = await start({ directory, buckets: ["one", "two"] });
  const client = sdk(first);
  const object = { Bucket: "one", Key: "a/../b ü" };
  const { ETag } = await client.send(new PutObjectCommand({ ...object, Body: "value", Metadata: { a: "1" } }));
  const upload = { Bucket: "two", Key: "large" };
  const { UploadId } = await client.send(new CreateMultipartUploadCommand({ ...upload, Metadata: { b: "2" } }));
  const part = { ...upload, UploadId, PartNumber: 1 };
  const { ETag: partETag } = await client.send(new UploadPartCommand({ ...part, Body: Buffer.alloc(300_000, "p") }));
  await first.close();

  const second = sdk(await start({ directory, buckets: [] }));
  const { Buckets } = await second.send(new ListBucketsCommand({}));
  expect(Buckets?.map(({ Name }) => Name)).toEqual(["one", "two"]);
  const read = await second.send(new GetObjectCommand(object));
  expect([await read.Body?.transformToString(), read.ETag, read.Metadata]).toEqual(["value", ETag, { a: "1" }]);
  await second.send(
    new CompleteMultipartUploadCommand({
      ...upload,
      UploadId,
      MultipartUpload: { Parts: [{ PartNumber: 1, ETag: partETag }] },
    }),
  );
  const completed = await second.send(new GetObjectCommand(upload));
  expect([completed.ContentLength, completed.Metadata]).toEqual([300_000, { b: "2" }]);
  expect((await completed.Body?.transformToString())?.length).toBe(300_000);
});

test("no file name comes from a key: nothing collides, leaves the folder, or is too long", async () => {
  const server = await start({ directory });
  const keys = ["a", "A", "a/b", "CON", "../../x", "..\\x", "x".repeat(1024), "a.", "a ", "é", "e\u0301", "*?:"];
  for (const key of keys) {
    const path = `/${BUCKET}/${key.split("/").map(encode).join("/")}`;
    expect((await call(server, { method: "PUT", path, body: key })).status).toBe(200);
  }
  const names = files();
  for (const name of names) expect(name).toMatch(/^[\w./\\-]+$/);
  expect(new Set(names.map((name) => name.toLowerCase())).size).toBe(names.length);
  expect(Math.max(...names.flatMap((name) => name.split(/[/\\]/)).map(({ length }) => length))).toBeLessThan(128);
  await server.close();
  const { Contents } = await sdk(await start({ directory })).send(new ListObjectsV2Command({ Bucket: BUCKET }));
  expect(Contents?.map(({ Key }) => Key).sort()).toEqual([...keys].sort());
});

test("what is replaced, deleted, refused or aborted leaves no bytes behind", async () => {
  const server = await start({ directory });
  const path = `/${BUCKET}/key`;
  const put = (body: string, headers = {}) => call(server, { method: "PUT", path, body, headers });
  const large = "x".repeat(1_000_000);
  await put("small");
  await put(large);
  expect(blobs()).toHaveLength(1);
  expect((await put(large, { "if-none-match": "*" })).status).toBe(412);
  expect((await put("y", { "x-amz-checksum-crc32": "AAAAAA==" })).status).toBe(400);
  expect((await put(large, { "x-amz-checksum-crc32": "AAAAAA==" })).status).toBe(400);
  expect(blobs()).toHaveLength(1);
  const client = sdk(server);
  const object = { Bucket: BUCKET, Key: "key" };
  const { UploadId } = await client.send(new CreateMultipartUploadCommand(object));
  const part = { ...object, UploadId };
  await client.send(new UploadPartCommand({ ...part, PartNumber: 1, Body: "1" }));
  const { ETag } = await client.send(new UploadPartCommand({ ...part, PartNumber: 2, Body: "2" }));
  await client.send(
    new CompleteMultipartUploadCommand({ ...part, MultipartUpload: { Parts: [{ PartNumber: 2, ETag }] } }),
  );
  expect(blobs()).toHaveLength(1);
  await call(server, { method: "DELETE", path });
  expect(blobs()).toHaveLength(0);
  expect(files().filter((file) => file.includes("objects") || file.includes("uploads"))).toEqual([]);
});

test("what a killed process left half-written is cleared away at the next start, and nothing else", async () => {
  const first = await start({ directory });
  await call(first, { method: "PUT", path: `/${BUCKET}/key`, body: "value" });
  await first.close();
  const orphan = "0".repeat(32);
  writeFileSync(join(directory, "data", orphan), "half a body");
  writeFileSync(join(directory, "data", "README"), "of somebody else");
  const objects = join(directory, `bucket-${BUCKET}`, "objects");
  const [record = ""] = readdirSync(objects);
  writeFileSync(join(objects, `${record}.1234.tmp`), "{");
  writeFileSync(join(directory, "lock"), "999999999");

  const second = await start({ directory });
  expect((await call(second, { path: `/${BUCKET}/key` })).body.toString()).toBe("value");
  expect(readdirSync(objects)).toEqual([record]);
  expect(blobs()).not.toContain(orphan);
  expect(readFileSync(join(directory, "data", "README"), "utf8")).toBe("of somebody else");
});

test("an upload whose completion was cut off after the object was written is complete", async () => {
  const first = await start({ directory });
  const client = sdk(first);
  const object = { Bucket: BUCKET, Key: "key" };
  const { UploadId = "" } = await client.send(new CreateMultipartUploadCommand(object));
  const { ETag } = await client.send(new UploadPartCommand({ ...object, UploadId, PartNumber: 1, Body: "value" }));
  const folder = join(directory, `bucket-${BUCKET}`, "uploads", UploadId);
  const kept = readdirSync(folder).map((name) => [name, readFileSync(join(folder, name))] as const);
  await client.send(
    new CompleteMultipartUploadCommand({ ...object, UploadId, MultipartUpload: { Parts: [{ PartNumber: 1, ETag }] } }),
  );
  await first.close();
  mkdirSync(folder);
  for (const [name, content] of kept) writeFileSync(join(folder, name), content);

  const second = sdk(await start({ directory }));
  expect((await second.send(new ListMultipartUploadsCommand({ Bucket: BUCKET }))).Uploads).toBeUndefined();
  expect(await (await second.send(new GetObjectCommand(object))).Body?.transformToString()).toBe("value");
});

test("a folder takes one server at a time, and says so", async () => {
  const first = await start({ directory });
  await expect(startDevServer({ directory })).rejects.toMatchObject({
    name: "BucketCacheError",
    code: "ERR_CONFLICT",
    message: expect.stringContaining(directory),
  });
  await first.close();
  await start({ directory });
});

test("a body that lost bytes on the disk is a broken transfer, not a shorter body", async () => {
  const server = await start({ directory });
  const path = `/${BUCKET}/key`;
  await call(server, { method: "PUT", path, body: "x".repeat(2_000_000) });
  const [blob = ""] = blobs();
  writeFileSync(join(directory, "data", blob), "x".repeat(1_000_000));
  await expect(call(server, { path })).rejects.toThrow(/aborted|hang up|reset/i);
  writeFileSync(join(directory, "data", blob), "");
  expect((await call(server, { path, headers: { range: "bytes=0-9" } })).status).toBe(500);
});
