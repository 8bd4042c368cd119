/** The Hono app on Node: `toNodeListener` serves any fetch handler, so that no adapter needs to be installed. */
import { createServer } from "node:http";
import { toNodeListener } from "bucketcache/handler";
import { createApp as createHono } from "./hono.mjs";

/** @param {import("bucketcache/s3").S3StoreOptions} bucket @param {string} token */
export function createApp(bucket, token) {
  const app = createHono(bucket, token);
  return createServer(toNodeListener(async (request) => app.fetch(request)));
}
