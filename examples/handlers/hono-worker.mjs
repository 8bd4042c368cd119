/**
 * The Hono app on Cloudflare Workers, with a bucket on R2. In `wrangler.toml`, `S3_ENDPOINT` is
 * `https://<account>.r2.cloudflarestorage.com`; the rest are secrets. No compatibility flag is needed.
 */
import { createApp } from "./hono.mjs";

/**
 * @typedef {Record<"S3_ENDPOINT" | "S3_BUCKET" | "S3_ACCESS_KEY_ID" | "S3_SECRET_ACCESS_KEY" | "TOKEN", string>} Env
 */

/** @type {ReturnType<typeof createApp> | undefined} */
let app;

export default {
  /** @param {Request} request @param {Env} env */
  fetch(request, env) {
    // Bindings come with the first request.
    app ??= createApp(
      {
        bucket: env.S3_BUCKET,
        endpoint: env.S3_ENDPOINT,
        credentials: { accessKeyId: env.S3_ACCESS_KEY_ID, secretAccessKey: env.S3_SECRET_ACCESS_KEY },
      },
      env.TOKEN,
    );
    return app.fetch(request);
  },
};
