import { randomBytes } from "node:crypto";
import { startDevServer } from "bucketcache/dev";
import { s3Store } from "bucketcache/s3";
import { storeConformance } from "bucketcache/testing";
import { afterAll, beforeAll, describe, test } from "vitest";
import { s3Promises } from "./support/s3-promises.js";

describe("s3Store on the dev server", () => {
  s3Promises(async () => {
    const { close, ...server } = await startDevServer({ buckets: ["test"] });
    return { ...server, bucket: "test", stop: close };
  });

  describe("as a store", () => {
    const buckets = Array.from({ length: 200 }, () => `test-${randomBytes(6).toString("hex")}`);
    let server: Awaited<ReturnType<typeof startDevServer>>;
    beforeAll(async () => void (server = await startDevServer({ buckets })));
    afterAll(() => server.close());

    storeConformance({ describe, test }, async () => {
      const { close: _, ...options } = server;
      return s3Store({ ...options, bucket: buckets.pop()! });
    });
  });
});
