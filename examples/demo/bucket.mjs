import { createCache } from "bucketcache";
import { s3Store } from "bucketcache/s3";

/**
 * Where the demo keeps its entries: JSON, so that it can be sent to another process. Without credentials they are
 * found as the AWS tools find them: environment, profile, instance role.
 *
 * @typedef {object} Bucket
 * @property {string} bucket
 * @property {string} [endpoint]
 * @property {string} [region]
 * @property {{ accessKeyId: string, secretAccessKey: string }} [credentials]
 */

/** Everything of the demo is below this prefix: nothing else in the bucket is read, overwritten or deleted. */
export const PREFIX = "bucketcache-demo/";

/** @param {Bucket} bucket */
export function openCache(bucket) {
  return createCache({ store: s3Store(bucket), prefix: PREFIX });
}
