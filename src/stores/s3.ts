/**
 * The bucket itself, on the side that holds credentials.
 *
 * @module bucketcache/s3
 */
import { StoreClock } from "../base/clock.js";
import { toRequest } from "../s3/operations.js";
import type { Plane } from "../s3/perform.js";
import { objectClient } from "../s3/objects.js";
import { environment, isNode } from "../base/runtime.js";
import { fetchSend } from "../s3/fetch-transport.js";
import { bucketControl } from "../s3/bucket.js";
import { checkClient, clientCredentials, clientEndpoint, clientSend } from "../aws/client.js";
import type { S3ClientConfig, S3ClientEndpoint, S3ClientLike } from "../aws/client.js";
import { CredentialSource, type Credentials } from "../aws/credentials.js";
import { checkBucket, parseEndpoint, resolveEndpoint, type Endpoint } from "../aws/endpoint.js";
import { presignGrant } from "../s3/grants.js";
import { nodeSend } from "../s3/node-transport.js";
import { profileRegion } from "../aws/profile.js";
import { Signer } from "../aws/signer.js";
import type { ObjectStore } from "../types.js";

export type { Credentials, S3ClientConfig, S3ClientEndpoint, S3ClientLike };

/** Options of {@link s3Store}: a bucket, and either an `S3Client` or where it is and who signs. */
export type S3StoreOptions = {
  /** Its name. It has to exist. */
  bucket: string;
  /** Bytes of a part of large uploads. Default: 8 MiB, 5 in browsers; for a known size at least a 10,000th of it. */
  partSize?: number;
  /** Parts in flight at once. Default: 3. */
  concurrency?: number;
  /** Takes the place of the transport. */
  fetch?: (input: string, init: any) => Promise<Response>;
} & (
  | {
      /** An `S3Client`. Its credentials, region, endpoint and request handler are used; its middleware does not see data requests. */
      client: S3ClientLike;
    }
  | {
      /** Default: `AWS_REGION`, else `us-east-1` with an endpoint. */
      region?: string;
      /** Of any S3-compatible store. Default: `AWS_ENDPOINT_URL_S3`, `AWS_ENDPOINT_URL`, else AWS. */
      endpoint?: string;
      /** Default: the environment, then the SDK's chain (profiles, SSO, containers, instances). */
      credentials?: Credentials | (() => Promise<Credentials>);
      /** Default: true with an endpoint, else false. */
      forcePathStyle?: boolean;
    }
);

/** Local requests are signed for so long that a clock 20 minutes slow still works. Seconds. */
const LOCAL_LIFE = 3_600;

/** S3 refuses smaller parts. Bytes. */
const SMALLEST_PART = 5 << 20;

/** Three parts of 8 MiB, and the 64 MiB of read chunks that V8 lets lie, are less than 96 MiB: what a stream may take. */
const PARALLEL = 3;

/**
 * A bucket on S3 or on any S3-compatible store. Reads and writes are signed here and sent as plain HTTP; nothing is sent
 * until the first of them.
 *
 * @throws TypeError for ill-formed options; BucketCacheError `ERR_UNSUPPORTED` for S3 Express and ARNs
 */
export function s3Store(options: S3StoreOptions): ObjectStore & Required<Pick<ObjectStore, "presign">> {
  const { bucket, partSize, concurrency } = options;
  checkBucket(bucket);
  checkCount(partSize, "partSize", SMALLEST_PART);
  checkCount(concurrency, "concurrency", 1);
  const name = `s3:${bucket}`;
  const clock = new StoreClock();
  const config = "client" in options && options.client !== undefined ? checkClient(options.client) : undefined;
  const fromEnvironment = environment("AWS_ENDPOINT_URL_S3") ?? environment("AWS_ENDPOINT_URL");

  let endpoint: () => Endpoint | Promise<Endpoint>;
  let credentials: CredentialSource;
  if (config !== undefined) {
    let resolved: Promise<Endpoint> | undefined;
    endpoint = () =>
      (resolved ??= clientEndpoint(config, bucket, fromEnvironment)
        .then(resolveEndpoint)
        .catch((error: unknown) => {
          resolved = undefined;
          throw error;
        }));
    credentials = new CredentialSource(clientCredentials(config), name);
  } else {
    const own = options as Exclude<S3StoreOptions, { client: S3ClientLike }>;
    const address = own.endpoint ?? fromEnvironment;
    if (address !== undefined) parseEndpoint(address);
    const region =
      own.region ??
      environment("AWS_REGION") ??
      environment("AWS_DEFAULT_REGION") ??
      (address === undefined ? profileRegion() : "us-east-1");
    if (region === undefined) {
      throw new TypeError(
        's3Store needs a region, such as "eu-west-1": by this option, AWS_REGION or your AWS profile',
      );
    }
    const resolved = resolveEndpoint({ bucket, region, endpoint: address, forcePathStyle: own.forcePathStyle });
    endpoint = () => resolved;
    credentials = new CredentialSource(own.credentials, name);
  }

  const signer = new Signer(endpoint, credentials, clock);
  const node = options.fetch === undefined && config === undefined && isNode() ? nodeSend() : undefined;
  const send =
    node?.send ?? (options.fetch === undefined && config !== undefined ? clientSend(config) : fetchSend(options.fetch));
  const control = bucketControl({ name, clock, send }, signer, endpoint);
  const plane: Plane = {
    name,
    clock,
    send,
    partSize,
    concurrency: concurrency ?? PARALLEL,
    sign: (operation, renew) => signer.sign(toRequest(operation), LOCAL_LIFE, renew),
    upload: (operation) => control.upload(operation),
  };
  const client = objectClient(plane);
  const store = {
    name,
    ...client,
    deleteMany: control.deleteMany,
    list: control.list,
    presign: (key: string, grant: Parameters<typeof presignGrant>[3]) =>
      presignGrant(control.signer, client, clock, grant, key),
    async close() {
      node?.close();
    },
    now: () => (clock.known ? clock.now() : undefined),
    signer: control.signer,
  };
  return store;
}

function checkCount(value: number | undefined, option: string, least: number): void {
  if (value !== undefined && !(Number.isSafeInteger(value) && value >= least)) {
    throw new TypeError(`${option} must be a whole number of at least ${least}; got ${String(value)}`);
  }
}
