import { storeConformance } from "bucketcache/testing";
import { afterAll, beforeAll, describe, test } from "vitest";
import { devBucket } from "./support/handler.js";
import { startPresignServer, type PresignServer } from "./support/presign-server.js";

let server: PresignServer;
let stop: () => Promise<void>;
beforeAll(async () => {
  const bucket = await devBucket();
  server = await startPresignServer(bucket);
  stop = async () => {
    await server.stop();
    await bucket.stop();
  };
});
afterAll(async () => stop());

// A handler refuses backslashes, which some stores take for slashes.
storeConformance({ describe, test }, async () => server.store(), { limits: ["backslashes"] });
