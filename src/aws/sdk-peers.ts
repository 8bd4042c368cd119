/** The SDK, an optional peer, loaded when it is first needed. */
import { failure } from "../s3/failure.js";

/**
 * Loads the parts of the SDK that sign for a client.
 *
 * @throws BucketCacheError `ERR_MISSING_PEER` where they are not installed
 */
export async function loadSigningPeers(store: string) {
  try {
    // Written so, each awaited right inside of `try`: this tells bundlers that they may be missing.
    const { HeadBucketCommand } = await import("@aws-sdk/client-s3");
    const { S3RequestPresigner } = await import("@aws-sdk/s3-request-presigner");
    return { HeadBucketCommand, S3RequestPresigner };
  } catch (error) {
    const message =
      "`client` needs the SDK's presigner beside it: npm install @aws-sdk/client-s3 @aws-sdk/s3-request-presigner";
    throw failure("ERR_MISSING_PEER", message, { store }, {}, error);
  }
}
