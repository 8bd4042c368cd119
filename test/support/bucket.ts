import { randomBytes } from "node:crypto";
import {
  CreateBucketCommand,
  DeleteBucketCommand,
  DeleteObjectsCommand,
  ListMultipartUploadsCommand,
  ListObjectsV2Command,
  AbortMultipartUploadCommand,
  S3Client,
} from "@aws-sdk/client-s3";
import { inject } from "vitest";
import { devBucket } from "./handler.js";
import type { Minio } from "./minio.js";

/** A bucket of one's own, on the MinIO of this run or on a dev server. */
export interface TestBucket {
  bucket: string;
  /** Spreads into `s3Store`. */
  options: {
    bucket: string;
    endpoint: string;
    region: string;
    forcePathStyle: true;
    credentials: { accessKeyId: string; secretAccessKey: string };
  };
  /** The AWS SDK's own client, to look at what is really stored. */
  client: S3Client;
  /** Empties and deletes the bucket, and closes the client's sockets. */
  remove(): Promise<void>;
}

/** Makes a bucket. Call it in `beforeAll`, and `remove` in `afterAll`. */
export async function makeBucket(minio: Minio = inject("minio")): Promise<TestBucket> {
  const bucket = `test-${randomBytes(8).toString("hex")}`;
  const options: TestBucket["options"] = {
    bucket,
    endpoint: minio.endpoint,
    region: "us-east-1",
    forcePathStyle: true,
    credentials: { accessKeyId: minio.accessKeyId, secretAccessKey: minio.secretAccessKey },
  };
  const { bucket: _, ...config } = options;
  const client = new S3Client(config);
  await client.send(new CreateBucketCommand({ Bucket: bucket }));
  return {
    bucket,
    options,
    client,
    async remove() {
      await empty(client, bucket);
      await client.send(new DeleteBucketCommand({ Bucket: bucket }));
      client.destroy();
    },
  };
}

/** Makes a bucket on a dev server of its own, which `remove` stops. */
export async function makeDevBucket(): Promise<TestBucket> {
  const { stop, ...options } = await devBucket();
  const { bucket, ...config } = options;
  const client = new S3Client(config);
  return {
    bucket,
    options,
    client,
    async remove() {
      client.destroy();
      await stop();
    },
  };
}

async function empty(client: S3Client, Bucket: string): Promise<void> {
  for (;;) {
    const page = await client.send(new ListObjectsV2Command({ Bucket }));
    const Objects = (page.Contents ?? []).map(({ Key }) => ({ Key }));
    if (Objects.length === 0) break;
    await client.send(new DeleteObjectsCommand({ Bucket, Delete: { Objects, Quiet: true } }));
  }
  const { Uploads = [] } = await client.send(new ListMultipartUploadsCommand({ Bucket }));
  for (const { Key, UploadId } of Uploads) {
    await client.send(new AbortMultipartUploadCommand({ Bucket, Key, UploadId }));
  }
}
