/** Limits of S3. https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html */

/** Size of the smallest part of an upload; only the last part may be smaller. */
export const MIN_PART_BYTES = 5 * 2 ** 20;

/** Size of the largest body of one PUT, and so of the largest part. */
export const MAX_PUT_BYTES = 5 * 2 ** 30;

/** Size of the largest object. */
export const MAX_OBJECT_BYTES = 5 * 2 ** 40;

/** Number of parts that one upload may have. */
export const MAX_PARTS = 10_000;

/** Longest life of a presigned request: 7 days. */
export const MAX_SIGNED_SECONDS = 604_800;

/** Number of objects that one request deletes. */
export const MAX_DELETED_OBJECTS = 1_000;
