/** The rules that every example in this folder grants by. The servers beside it differ only in how they are reached. */
import { createPresignHandler } from "bucketcache/handler";
import { s3Store } from "bucketcache/s3";

/**
 * @param {import("bucketcache/s3").S3StoreOptions} bucket
 * @param {string} token stands for your own session: a cookie, a JWT, whatever tells who asks
 */
export function presignHandler(bucket, token) {
  return createPresignHandler({
    store: s3Store(bucket),
    // That of the cache in the page.
    prefix: "cache/",
    maxBytes: 256 * 1024 * 1024,
    maxTtl: "7d",
    contentTypes: [
      "application/json",
      "application/vnd.bucketcache+json",
      "application/octet-stream",
      "text/plain",
      "text/csv",
      "image/*",
    ],
    authorize: ({ request, operation, key }) => {
      const known = request.headers.get("authorization") === `Bearer ${token}`;
      // Everybody who is known reads all of it, and writes and deletes below one name.
      return known && (operation === "read" || key.startsWith("cache/shared/"));
    },
  });
}
