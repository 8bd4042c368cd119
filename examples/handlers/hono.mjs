/** A presign handler in Hono, for Node, Bun, Deno and everything else that Hono runs on. */
import { Hono } from "hono";
import { presignHandler } from "./rules.mjs";

/** @param {import("bucketcache/s3").S3StoreOptions} bucket @param {string} token */
export function createApp(bucket, token) {
  const handler = presignHandler(bucket, token);
  const app = new Hono();
  app.all("/api/presign", (context) => handler(context.req.raw));
  return app;
}
