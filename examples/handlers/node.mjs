/** A presign handler on Node's own HTTP server. */
import { createServer } from "node:http";
import { toNodeListener } from "bucketcache/handler";
import { presignHandler } from "./rules.mjs";

/** @param {import("bucketcache/s3").S3StoreOptions} bucket @param {string} token */
export function createApp(bucket, token) {
  const listener = toNodeListener(presignHandler(bucket, token));
  return createServer((request, response) => {
    if (request.url === "/api/presign") listener(request, response);
    else response.writeHead(404).end();
  });
}
