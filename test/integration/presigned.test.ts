import { storeConformance } from "bucketcache/testing";
import { afterAll, beforeAll, describe, test } from "vitest";
import { makeBucket, type TestBucket } from "../support/bucket.js";
import { startPresignServer, type PresignServer } from "../support/presign-server.js";

describe("presignedStore on MinIO", () => {
  let bucket: TestBucket;
  let server: PresignServer;
  beforeAll(async () => {
    bucket = await makeBucket();
    server = await startPresignServer(bucket.options);
  });
  afterAll(async () => {
    await server.stop();
    await bucket.remove();
  });

  // A handler refuses backslashes, which some stores take for slashes.
  storeConformance({ describe, test }, async () => server.store(), { limits: ["backslashes"] });
});
