/** The shape of a Next.js route handler: in a project, `app/api/presign/route.js`. */
import { presignHandler } from "./rules.mjs";

const { S3_BUCKET = "", S3_ENDPOINT, TOKEN = "" } = process.env;

/** @type {ReturnType<typeof presignHandler> | undefined} */
let handler;

/** @param {Request} request */
export function POST(request) {
  // At the first request, not at import: a build imports routes too, and has no bucket.
  handler ??= presignHandler({ bucket: S3_BUCKET, ...(S3_ENDPOINT ? { endpoint: S3_ENDPOINT } : {}) }, TOKEN);
  return handler(request);
}

/** For pages of other origins. @param {Request} request */
export function OPTIONS(request) {
  return POST(request);
}
