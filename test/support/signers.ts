/** Both ways to sign for a bucket: by keys at hand, and by the SDK for a client that has the same keys. */
import { S3Client, type S3ClientConfig } from "@aws-sdk/client-s3";
import type { S3StoreOptions } from "bucketcache/s3";
import type { Bucket } from "./handler.js";

export type Signs = "keys" | "client";

export const SIGNERS: readonly (readonly [title: string, signs: Signs])[] = [
  ["keys at hand", "keys"],
  ["a client", "client"],
];

/** Options of `s3Store` for this bucket, with what is said beside it. */
export function signedBy(signs: Signs, options: Bucket & Partial<S3StoreOptions>): S3StoreOptions {
  if (signs === "keys") return options;
  const { endpoint, region, forcePathStyle, credentials, ...rest } = options;
  const config = { endpoint, region, forcePathStyle, credentials } as S3ClientConfig;
  return { ...rest, client: new S3Client(config) };
}
