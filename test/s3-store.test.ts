import { randomBytes } from "node:crypto";
import { startDevServer } from "bucketcache/dev";
import { s3Store } from "bucketcache/s3";
import { storeConformance } from "bucketcache/testing";
import { afterAll, beforeAll, describe, test } from "vitest";
import { devBucket } from "./support/handler.js";
import { s3Promises } from "./support/s3-promises.js";
import { SIGNERS, signedBy } from "./support/signers.js";

describe.each(SIGNERS)("s3Store on the dev server, signed for by %s", (_, signs) => {
  s3Promises(devBucket, signs);

  describe("as a store", () => {
    const buckets = Array.from({ length: 200 }, () => `test-${randomBytes(6).toString("hex")}`);
    let server: Awaited<ReturnType<typeof startDevServer>>;
    beforeAll(async () => void (server = await startDevServer({ buckets })));
    afterAll(() => server.close());

    storeConformance({ describe, test }, async () => {
      const { close: _, ...options } = server;
      return s3Store(signedBy(signs, { ...options, bucket: buckets.pop()! }));
    });
  });
});
