import { PREFIX } from "../demo/bucket.mjs";

/**
 * Returns the CORS rules that a bucket needs before pages may use it, in the form that the console and
 * `aws s3api put-bucket-cors` take.
 *
 * @param {readonly string[]} origins of the pages
 */
export function corsRules(origins) {
  return [
    {
      ID: "bucketcache-playground",
      AllowedOrigins: [...origins],
      AllowedMethods: ["GET", "HEAD", "PUT", "DELETE"],
      AllowedHeaders: ["content-type", "cache-control", "content-encoding", "if-match", "if-none-match", "x-amz-*"],
      // No wildcard works here, and without these a page cannot tell an entry's end from none.
      ExposeHeaders: ["etag", "x-amz-meta-entry", "x-amz-meta-expires_at", "x-amz-meta-compressed"],
      MaxAgeSeconds: 600,
    },
  ];
}

/** Returns the rules that remove parts of uploads that a closed tab leaves behind. */
export function lifecycleRules() {
  return [
    {
      ID: "bucketcache-abandoned-uploads",
      Status: "Enabled",
      Filter: { Prefix: PREFIX },
      AbortIncompleteMultipartUpload: { DaysAfterInitiation: 1 },
    },
  ];
}

/**
 * Sets the rule on a bucket that is ours, such as the development server's. It takes the place of what was there.
 *
 * @param {import("../demo/bucket.mjs").Bucket} bucket
 * @param {readonly string[]} origins
 */
export async function setCors({ bucket, endpoint, region, credentials }, origins) {
  // Node 20 works; what the SDK has to say about it is not for those who try the playground.
  process.env["AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED"] ??= "true";
  const { PutBucketCorsCommand, S3Client } = await import("@aws-sdk/client-s3");
  const client = new S3Client({
    ...(endpoint && { endpoint, forcePathStyle: true }),
    region: region ?? "us-east-1",
    ...(credentials && { credentials }),
  });
  try {
    await client.send(
      new PutBucketCorsCommand({ Bucket: bucket, CORSConfiguration: { CORSRules: corsRules(origins) } }),
    );
  } finally {
    client.destroy();
  }
}
