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

storeConformance({ describe, test }, async () => server.store());
