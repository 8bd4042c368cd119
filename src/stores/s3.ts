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
import { ClientSigner } from "../aws/client-signer.js";
import { checkClient, clientCredentials, clientSend } from "../aws/client.js";
import type { S3ClientConfig, S3ClientLike } from "../aws/client.js";
import { CredentialSource, environmentCredentials, type Credentials } from "../aws/credentials.js";
import { checkBucket, parseEndpoint, resolveEndpoint, type Endpoint } from "../aws/endpoint.js";
import { presignGrant } from "../s3/grants.js";
import { nodeSend } from "../s3/node-transport.js";
import { MISSING_REGION, sdkDefaults } from "../aws/sdk-defaults.js";
import { KeySigner } from "../aws/signer.js";
import type { ObjectStore } from "../types.js";

export type { Credentials, S3ClientConfig, S3ClientLike };

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
      /**
       * An `S3Client`, which decides everything: credentials, region, endpoint rules, request handler, attempts and
       * time-outs. Needs `@aws-sdk/s3-request-presigner`, which signs; the client's middleware does not see the requests.
       */
      client: S3ClientLike;
    }
  | {
      /** Default: `AWS_REGION`, else `us-east-1` with an endpoint, else the SDK's when it finds the credentials. */
      region?: string;
      /** Of any S3-compatible store. Default: `AWS_ENDPOINT_URL_S3`, `AWS_ENDPOINT_URL`, else AWS. */
      endpoint?: string;
      /** Default: the environment, then the chain of `@aws-sdk/client-s3` (profiles, SSO, containers, instances). */
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
 * A bucket on S3 or on any S3-compatible store. Reads and writes are presigned and sent as plain HTTP; nothing is sent
 * until the first of them.
 *
 * @throws TypeError for ill-formed options; BucketCacheError `ERR_UNSUPPORTED` for S3 Express and ARNs without `client`
 */
export function s3Store(options: S3StoreOptions): ObjectStore & Required<Pick<ObjectStore, "presign">> {
  const { bucket, partSize, concurrency } = options;
  checkCount(partSize, "partSize", SMALLEST_PART);
  checkCount(concurrency, "concurrency", 1);
  const name = `s3:${bucket}`;
  const clock = new StoreClock();
  const isClient = "client" in options && options.client !== undefined;
  const signer = isClient ? clientSigner(bucket, options.client, name, clock) : keySigner(options, name, clock);
  const node = options.fetch === undefined && !isClient && isNode() ? nodeSend() : undefined;
  const send =
    node?.send ??
    (options.fetch === undefined && isClient ? clientSend(options.client.config) : fetchSend(options.fetch));
  const limits = signer instanceof ClientSigner ? signer.limits : undefined;
  const control = bucketControl({ name, clock, send, limits }, signer);
  const plane: Plane = {
    name,
    clock,
    send,
    limits,
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

function clientSigner(bucket: string, client: S3ClientLike, name: string, clock: StoreClock): ClientSigner {
  const config = checkClient(client);
  // Which names there are is the client's to say.
  if (typeof bucket !== "string" || bucket === "") {
    throw new TypeError(`bucket must be the name or the ARN of a bucket; got ${JSON.stringify(bucket)}`);
  }
  return new ClientSigner(client, bucket, name, new CredentialSource(clientCredentials(config), name), clock);
}

function keySigner(
  options: Exclude<S3StoreOptions, { client: S3ClientLike }>,
  name: string,
  clock: StoreClock,
): KeySigner {
  const { bucket, credentials, forcePathStyle } = options;
  checkBucket(bucket);
  const address = options.endpoint ?? environment("AWS_ENDPOINT_URL_S3") ?? environment("AWS_ENDPOINT_URL");
  if (address !== undefined) parseEndpoint(address);
  const known = options.region ?? environment("AWS_REGION") ?? environment("AWS_DEFAULT_REGION");
  const region = known ?? (address === undefined ? undefined : "us-east-1");
  const sdk = sdkDefaults(name, known);
  const source = new CredentialSource(
    credentials ?? (async (renew) => environmentCredentials() ?? sdk.credentials(renew)),
    name,
  );
  const resolve = (region: string) => resolveEndpoint({ bucket, region, endpoint: address, forcePathStyle });
  if (region !== undefined) {
    const endpoint = resolve(region);
    return new KeySigner(() => endpoint, source, clock);
  }
  if (credentials !== undefined || environmentCredentials() !== undefined) throw new TypeError(MISSING_REGION);
  let endpoint: Promise<Endpoint> | undefined;
  const find = () =>
    (endpoint ??= sdk
      .region()
      .then(resolve)
      .catch((error: unknown) => {
        endpoint = undefined;
        throw error;
      }));
  return new KeySigner(find, source, clock);
}

function checkCount(value: number | undefined, option: string, least: number): void {
  if (value !== undefined && !(Number.isSafeInteger(value) && value >= least)) {
    throw new TypeError(`${option} must be a whole number of at least ${least}; got ${String(value)}`);
  }
}
