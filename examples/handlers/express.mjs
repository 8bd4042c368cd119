/** A presign handler in Express, behind a body parser and in a router. */
import express from "express";
import { toNodeListener } from "bucketcache/handler";
import { presignHandler } from "./rules.mjs";

/** @param {import("bucketcache/s3").S3StoreOptions} bucket @param {string} token */
export function createApp(bucket, token) {
  const app = express();
  // The handler takes what the parser has read. Large batches need the limit: its own is 100 KB.
  app.use(express.json({ limit: "256kb" }));
  const api = express.Router();
  // With OPTIONS, for pages of other origins.
  api.all("/presign", toNodeListener(presignHandler(bucket, token)));
  app.use("/api", api);
  return app;
}
