import { startDevServer } from "bucketcache/dev";
import { describe } from "vitest";
import { s3Promises } from "./support/s3-promises.js";

describe("s3Store on the dev server", () => {
  s3Promises(async () => {
    const { close, ...server } = await startDevServer({ buckets: ["test"] });
    return { ...server, bucket: "test", stop: close };
  });
});
