import {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  GetObjectCommand,
  HeadObjectCommand,
  ListMultipartUploadsCommand,
  ListPartsCommand,
  PutObjectCommand,
  UploadPartCommand,
  UploadPartCopyCommand,
  type CompletedPart,
  type S3Client,
} from "@aws-sdk/client-s3";
import { Upload } from "@aws-sdk/lib-storage";
import { createHash } from "node:crypto";
import { Readable } from "node:stream";
import { beforeEach, describe, expect, test } from "vitest";
import { createChecksum } from "../../src/dev/checksums.js";
import { BACKENDS, BUCKET, sdk, start } from "./tools.js";

const MIB = 1024 * 1024;
const object = { Bucket: BUCKET, Key: "a/key" };
const first = Buffer.alloc(5 * MIB, "first");
const last = Buffer.from("last");

describe.each(BACKENDS)("multipart uploads, kept in $kept,", ({ options }) => {
  let client: S3Client;

  beforeEach(async () => {
    client = sdk(await start(options()), { requestChecksumCalculation: "WHEN_REQUIRED" });
  });

  async function create(more: object = {}): Promise<string> {
    const { UploadId = "" } = await client.send(new CreateMultipartUploadCommand({ ...object, ...more }));
    return UploadId;
  }

  async function part(UploadId: string, PartNumber: number, Body: Buffer): Promise<CompletedPart> {
    const { ETag } = await client.send(new UploadPartCommand({ ...object, UploadId, PartNumber, Body }));
    return { PartNumber, ETag };
  }

  function complete(UploadId: string, Parts: CompletedPart[], more: object = {}) {
    return client.send(
      new CompleteMultipartUploadCommand({ ...object, UploadId, MultipartUpload: { Parts }, ...more }),
    );
  }

  async function read(): Promise<Buffer> {
    const { Body } = await client.send(new GetObjectCommand(object));
    return Buffer.from((await Body?.transformToByteArray()) ?? []);
  }

  async function openUploads(): Promise<(string | undefined)[]> {
    const { Uploads = [] } = await client.send(new ListMultipartUploadsCommand({ Bucket: BUCKET }));
    return Uploads.map(({ UploadId }) => UploadId);
  }

  test("become one object, with the headers of the beginning and S3's ETag", async () => {
    const id = await create({ Metadata: { a: "1" }, ContentType: "a/b", CacheControl: "no-store" });
    // In any order, a part twice, and one that is not used.
    const parts = [await part(id, 7, last), await part(id, 2, Buffer.from("replaced")), await part(id, 9, last)];
    const again = await part(id, 2, first);
    const { ETag } = await complete(id, [again, parts[0] ?? {}]);
    const md5 = (bytes: Buffer) => createHash("md5").update(bytes).digest();
    expect(ETag).toBe(`"${md5(Buffer.concat([md5(first), md5(last)])).toString("hex")}-2"`);
    expect((await read()).equals(Buffer.concat([first, last]))).toBe(true);
    expect(await client.send(new HeadObjectCommand(object))).toMatchObject({
      ETag,
      ContentLength: first.length + last.length,
      Metadata: { a: "1" },
      ContentType: "a/b",
      CacheControl: "no-store",
    });
    const second = await client.send(new GetObjectCommand({ ...object, PartNumber: 2 }));
    expect([await second.Body?.transformToString(), second.PartsCount]).toEqual(["last", 2]);
    await expect(client.send(new GetObjectCommand({ ...object, PartNumber: 3 }))).rejects.toMatchObject({
      name: "InvalidPartNumber",
    });
    expect(await openUploads()).toEqual([]);
  });

  test("are not there before they are complete, and not after they were aborted", async () => {
    const id = await create();
    await part(id, 1, last);
    await expect(client.send(new HeadObjectCommand(object))).rejects.toMatchObject({ name: "NotFound" });
    await client.send(new AbortMultipartUploadCommand({ ...object, UploadId: id }));
    await expect(part(id, 1, last)).rejects.toMatchObject({ name: "NoSuchUpload" });
    await expect(client.send(new AbortMultipartUploadCommand({ ...object, UploadId: id }))).rejects.toMatchObject({
      name: "NoSuchUpload",
    });
    expect(await openUploads()).toEqual([]);
  });

  test("are completed once", async () => {
    const id = await create();
    const parts = [await part(id, 1, last)];
    const outcomes = await Promise.allSettled([complete(id, parts), complete(id, parts)]);
    expect(outcomes.map(({ status }) => status).sort()).toEqual(["fulfilled", "rejected"]);
    await expect(complete(id, parts)).rejects.toMatchObject({
      name: "NoSuchUpload",
      $metadata: { httpStatusCode: 404 },
    });
  });

  test("belong to one key", async () => {
    const id = await create();
    const other = { Bucket: BUCKET, Key: "other", UploadId: id };
    await expect(client.send(new UploadPartCommand({ ...other, PartNumber: 1, Body: "v" }))).rejects.toMatchObject({
      name: "NoSuchUpload",
    });
    await expect(client.send(new AbortMultipartUploadCommand(other))).rejects.toMatchObject({ name: "NoSuchUpload" });
  });

  test("that fail a condition stay open, and are completed later", async () => {
    const { ETag } = await client.send(new PutObjectCommand({ ...object, Body: "old" }));
    const id = await create();
    const parts = [await part(id, 1, last)];
    for (const condition of [{ IfNoneMatch: "*" }, { IfMatch: '"x"' }]) {
      await expect(complete(id, parts, condition)).rejects.toMatchObject({ name: "PreconditionFailed" });
      expect(await openUploads()).toEqual([id]);
      expect((await read()).toString()).toBe("old");
    }
    await complete(id, parts, { IfMatch: ETag });
    expect((await read()).toString()).toBe("last");
  });

  test("with If-Match where there is no object are 404", async () => {
    const id = await create();
    const parts = [await part(id, 1, last)];
    await expect(complete(id, parts, { IfMatch: '"x"' })).rejects.toMatchObject({ name: "NoSuchKey" });
    expect(await openUploads()).toEqual([id]);
  });

  test("are refused with parts that are wrong, and stay open", async () => {
    const id = await create();
    const small = await part(id, 1, last);
    const large = await part(id, 2, first);
    for (const [parts, name] of [
      [[large, small], "InvalidPartOrder"],
      [[small, small], "InvalidPartOrder"],
      [[small, large], "EntityTooSmall"],
      [[{ ...large, ETag: '"x"' }], "InvalidPart"],
      [[{ ...large, PartNumber: 3 }], "InvalidPart"],
      [[], "MalformedXML"],
    ] as [CompletedPart[], string][]) {
      await expect(complete(id, parts)).rejects.toMatchObject({ name, $metadata: { httpStatusCode: 400 } });
    }
    await expect(complete(id, [large], { MpuObjectSize: 1 })).rejects.toMatchObject({ name: "InvalidRequest" });
    for (const PartNumber of [0, 10_001]) {
      await expect(part(id, PartNumber, last)).rejects.toMatchObject({ name: "InvalidArgument" });
    }
    expect(await openUploads()).toEqual([id]);
    await complete(id, [large], { MpuObjectSize: first.length });
  });

  test("list their parts and themselves in pages", async () => {
    const ids = [await create(), await create(), await create({ Key: "b" })];
    for (const number of [3, 1, 2]) await part(ids[0] ?? "", number, last);
    const page = await client.send(new ListPartsCommand({ ...object, UploadId: ids[0], MaxParts: 2 }));
    expect(page.Parts?.map(({ PartNumber, Size }) => [PartNumber, Size])).toEqual([
      [1, 4],
      [2, 4],
    ]);
    const rest = await client.send(
      new ListPartsCommand({ ...object, UploadId: ids[0], PartNumberMarker: page.NextPartNumberMarker }),
    );
    expect([page.IsTruncated, rest.Parts?.map(({ PartNumber }) => PartNumber), rest.IsTruncated]).toEqual([
      true,
      [3],
      false,
    ]);

    const seen: (string | undefined)[] = [];
    let marker: { KeyMarker?: string | undefined; UploadIdMarker?: string | undefined } = {};
    for (let more: boolean | undefined = true; more;) {
      const uploads = await client.send(new ListMultipartUploadsCommand({ Bucket: BUCKET, MaxUploads: 1, ...marker }));
      seen.push(...(uploads.Uploads ?? []).map(({ UploadId }) => UploadId));
      marker = { KeyMarker: uploads.NextKeyMarker, UploadIdMarker: uploads.NextUploadIdMarker };
      more = uploads.IsTruncated;
    }
    expect([...seen].sort()).toEqual([...ids].sort());
    expect(seen.at(-1)).toBe(ids[2]);
    const below = await client.send(new ListMultipartUploadsCommand({ Bucket: BUCKET, Prefix: "b" }));
    expect(below.Uploads?.map(({ UploadId }) => UploadId)).toEqual([ids[2]]);
  });

  test("take parts of other objects", async () => {
    await client.send(new PutObjectCommand({ Bucket: BUCKET, Key: "source", Body: "0123456789" }));
    const id = await create();
    const copy = { ...object, UploadId: id, PartNumber: 1, CopySource: `${BUCKET}/source` };
    const { CopyPartResult } = await client.send(new UploadPartCopyCommand({ ...copy, CopySourceRange: "bytes=2-4" }));
    await expect(
      client.send(new UploadPartCopyCommand({ ...copy, CopySourceRange: "bytes=2-10" })),
    ).rejects.toMatchObject({ name: "InvalidArgument" });
    await complete(id, [{ PartNumber: 1, ETag: CopyPartResult?.ETag }]);
    expect((await read()).toString()).toBe("234");
  });

  test.each([
    ["CRC32", "FULL_OBJECT"],
    ["CRC32C", "FULL_OBJECT"],
    ["CRC64NVME", "FULL_OBJECT"],
    ["CRC32", "COMPOSITE"],
    ["CRC32C", "COMPOSITE"],
    ["SHA1", "COMPOSITE"],
    ["SHA256", "COMPOSITE"],
  ] as const)("have a checksum of %s, %s, which is verified", async (ChecksumAlgorithm, ChecksumType) => {
    const algorithm = ChecksumAlgorithm.toLowerCase() as Lowercase<typeof ChecksumAlgorithm>;
    const id = await create({ ChecksumAlgorithm, ChecksumType });
    // The server computes what a part does not bring.
    const parts = [await part(id, 1, first), await part(id, 2, last)];
    const sum = (...chunks: Buffer[]): string => {
      const checksum = createChecksum(algorithm);
      for (const chunk of chunks) checksum.update(chunk);
      return checksum.digest();
    };
    const composite = sum(Buffer.from(sum(first), "base64"), Buffer.from(sum(last), "base64"));
    const expected = ChecksumType === "FULL_OBJECT" ? sum(first, last) : `${composite}-2`;
    const name = `Checksum${ChecksumAlgorithm}` as const;
    await expect(complete(id, parts, { [name]: sum(last), ChecksumType })).rejects.toMatchObject({ name: "BadDigest" });
    const done = await complete(id, parts, ChecksumType === "FULL_OBJECT" ? { [name]: expected, ChecksumType } : {});
    expect(done).toMatchObject({ [name]: expected, ChecksumType });
    const head = await client.send(new HeadObjectCommand({ ...object, ChecksumMode: "ENABLED" }));
    expect(head).toMatchObject({ [name]: expected, ChecksumType });
  });

  test("of lib-storage, from a stream with the SDK's default checksums, come back whole", async () => {
    const standard = sdk(await start(options()));
    const chunks = Array.from({ length: 12 }, (_, index) => Buffer.alloc(MIB, index));
    const upload = new Upload({ client: standard, params: { ...object, Body: Readable.from(chunks) } });
    await upload.done();
    const { Body } = await standard.send(new GetObjectCommand({ ...object, ChecksumMode: "ENABLED" }));
    expect(Buffer.from((await Body?.transformToByteArray()) ?? []).equals(Buffer.concat(chunks))).toBe(true);
  });
});
