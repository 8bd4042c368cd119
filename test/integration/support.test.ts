import {
  GetObjectCommand,
  HeadObjectCommand,
  ListBucketsCommand,
  PutObjectCommand,
  S3Client,
} from "@aws-sdk/client-s3";
import { expect, inject, test } from "vitest";
import { makeBucket } from "../support/bucket.js";
import { startProxy } from "../support/proxy.js";
import { runAws, runPython } from "../support/python.js";

test("each test file gets a bucket of its own, which leaves nothing behind", async () => {
  const one = await makeBucket();
  const other = await makeBucket();
  const object = { Bucket: one.bucket, Key: "a/b" };
  await one.client.send(new PutObjectCommand({ ...object, Body: "text" }));
  const read = await other.client.send(new GetObjectCommand(object));
  expect(await read.Body?.transformToString()).toBe("text");
  await one.remove();
  const { Buckets = [] } = await other.client.send(new ListBucketsCommand({}));
  const names = Buckets.map(({ Name }) => Name);
  expect(names).toContain(other.bucket);
  expect(names).not.toContain(one.bucket);
  await other.remove();
});

test("boto3 and the AWS command line reach the same server", async () => {
  const { bucket, client, options, remove } = await makeBucket();
  await client.send(new PutObjectCommand({ Bucket: bucket, Key: "käse", Body: "text" }));
  const env = {
    AWS_ACCESS_KEY_ID: options.credentials.accessKeyId,
    AWS_SECRET_ACCESS_KEY: options.credentials.secretAccessKey,
    AWS_DEFAULT_REGION: options.region,
  };
  const script = `
import sys, boto3
s3 = boto3.client("s3", endpoint_url=sys.argv[1])
print(s3.get_object(Bucket=sys.argv[2], Key="käse")["Body"].read().decode())`;
  const args = [options.endpoint, bucket];
  expect(await runPython(inject("python"), script, { args, env })).toBe("text\n");
  const listing = await runAws(inject("python"), ["--endpoint-url", options.endpoint, "s3", "ls", bucket], { env });
  expect(listing).toContain("käse");
  await remove();
});

test("a Python script that fails says why", async () => {
  await expect(runPython(inject("python"), "raise ValueError('because')")).rejects.toThrow(/ValueError: because/);
});

test("signatures hold through the proxy, and another writer can slip in between two requests", async () => {
  const { bucket, client, options, remove } = await makeBucket();
  const proxy = await startProxy(options.endpoint);
  const { bucket: Bucket, ...config } = options;
  const through = new S3Client({ ...config, endpoint: proxy.endpoint });
  const object = { Bucket, Key: "a b/ü" };
  await through.send(new PutObjectCommand({ ...object, Body: "old", Metadata: { name: "value" } }));
  proxy.hook = ({ method }) =>
    method === "HEAD" ? { after: () => client.send(new PutObjectCommand({ ...object, Body: "newer" })) } : undefined;
  const head = await through.send(new HeadObjectCommand(object));
  expect(head.Metadata).toEqual({ name: "value" });
  const read = await through.send(new GetObjectCommand(object));
  expect(await read.Body?.transformToString()).toBe("newer");
  expect(proxy.requests.map(({ method, path }) => `${method} ${path}`)).toEqual(
    ["PUT", "HEAD", "GET"].map((method) => `${method} /${bucket}/a b/ü`),
  );
  through.destroy();
  await proxy.close();
  await remove();
});
