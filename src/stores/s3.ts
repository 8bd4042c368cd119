/**
 * The bucket itself, on the side that holds credentials.
 *
 * @module bucketcache/s3
 */
import { ClientSigner } from "../aws/client-signer.js";
import { checkClient, clientCredentials, clientSend } from "../aws/client.js";
import type { S3ClientConfig, S3ClientLike } from "../aws/client.js";
import { CredentialSource, environmentCredentials, type Credentials } from "../aws/credentials.js";
import { checkBucket, parseEndpoint, resolveEndpoint, type Endpoint } from "../aws/endpoint.js";
import { MISSING_REGION, sdkDefaults } from "../aws/sdk-defaults.js";
import { KeySigner } from "../aws/signer.js";
import { StoreClock } from "../base/clock.js";
import { environment, isBrowser, isNode } from "../base/runtime.js";
import type { BucketCacheError } from "../errors.js";
import { bucketControl } from "../s3/bucket.js";
import { Capabilities } from "../s3/capabilities.js";
import { fetchSend } from "../s3/fetch-transport.js";
import { presignGrant } from "../s3/grants.js";
import { MIN_PART_BYTES } from "../s3/limits.js";
import { nodeSend } from "../s3/node-transport.js";
import { objectClient } from "../s3/objects.js";
import { toRequest } from "../s3/operations.js";
import { limitsOf, LIMITS } from "../s3/retry.js";
import { REQUEST_LIFE_SECONDS } from "../s3/signing.js";
import type { Send } from "../s3/transport.js";
import type { Duration, ObjectStore, PresignOptions } from "../types.js";

export type { Credentials, S3ClientConfig, S3ClientLike };

/** Options of {@link s3Store}: a bucket, and either an `S3Client` or the address of the bucket and the keys that sign. */
export type S3StoreOptions = {
  /** Name of the bucket, which has to exist. */
  bucket: string;
  /**
   * Bytes of a part of large uploads. A body of known size is cut into parts of at least a 10,000th of it.
   *
   * @default 8 MiB; 5 MiB in browsers
   */
  partSize?: number;
  /**
   * Number of parts of an upload that are sent at once.
   *
   * @default 3
   */
  concurrency?: number;
  /**
   * Longest wait of each attempt for the beginning of its answer. A large upload gets the time on top that a slow line
   * needs. With `client`, time-outs of its request handler count where they are longer.
   *
   * @default "10s"
   */
  timeout?: Duration;
  /**
   * Number of attempts of a request, the first included.
   *
   * @default 3; with `client`, its `maxAttempts`
   */
  attempts?: number;
  /** Sends all requests, in place of the store's own transport. */
  fetch?: (input: string, init: any) => Promise<Response>;
} & (
  | {
      /**
       * An `S3Client`, which decides everything: credentials, region, endpoint rules, request handler, attempts and
       * time-outs. It needs `@aws-sdk/s3-request-presigner`, which signs. The client's middleware does not see the requests.
       */
      client: S3ClientLike;
      /** The client decides about it. */
      region?: undefined;
      /** The client decides about it. */
      endpoint?: undefined;
      /** The client decides about them. */
      credentials?: undefined;
      /** The client decides about it. */
      forcePathStyle?: undefined;
    }
  | {
      /**
       * Region of the bucket.
       *
       * @default `AWS_REGION`, else `us-east-1` with an endpoint, else the SDK's when it finds the credentials
       */
      region?: string | undefined;
      /**
       * Address of an S3-compatible store.
       *
       * @default `AWS_ENDPOINT_URL_S3`, else `AWS_ENDPOINT_URL`, else AWS
       */
      endpoint?: string | undefined;
      /**
       * Keys that sign, or a function that resolves to them.
       *
       * @default those of the environment, else those that `@aws-sdk/client-s3` finds (profiles, SSO, containers, instances)
       */
      credentials?: Credentials | (() => Promise<Credentials>) | undefined;
      /**
       * Whether the bucket stands in the path of a URL rather than in the host name.
       *
       * @default true with an endpoint, else false
       */
      forcePathStyle?: boolean | undefined;
    }
);

const DEFAULT_PART_BYTES = 8 << 20;

/** Three parts of 8 MiB, and the 64 MiB of read chunks that V8 lets lie, stay below the 96 MiB that a stream may take. */
const DEFAULT_CONCURRENCY = 3;

/**
 * Returns a store for a bucket on S3 or on any S3-compatible service. Requests are presigned and sent as plain HTTP;
 * nothing is sent before the first read or write.
 *
 * @throws TypeError for ill-formed options
 * @throws BucketCacheError `ERR_UNSUPPORTED` for S3 Express and ARNs without `client`
 * @example
 * ```ts
 * import { createCache } from "bucketcache";
 * import { s3Store } from "bucketcache/s3";
 *
 * const cache = createCache({ store: s3Store({ bucket: "my-bucket", region: "eu-west-1" }), prefix: "cache/" });
 * ```
 */
export function s3Store(options: S3StoreOptions): ObjectStore & Required<Pick<ObjectStore, "presign">> {
  const { bucket, concurrency = DEFAULT_CONCURRENCY } = options;
  const { partSize = isBrowser() ? MIN_PART_BYTES : DEFAULT_PART_BYTES } = options;
  checkCount(partSize, "partSize", MIN_PART_BYTES);
  checkCount(concurrency, "concurrency", 1);
  const name = `s3:${bucket}`;
  const clock = new StoreClock();
  const signer = hasClient(options) ? clientSigner(options, name, clock) : keySigner(options, name, clock);
  const { send, close } = transportOf(options);
  const limits = limitsOf(options, signer instanceof ClientSigner ? signer.limits : LIMITS);
  const limitations: BucketCacheError[] = [];
  const capabilities = new Capabilities(name, limitations);
  const connection = { name, clock, capabilities, send, limits };
  const control = bucketControl({ ...connection, signer }, (key, call) => client.delete(key, call));
  const client = objectClient({
    ...connection,
    partSize,
    concurrency,
    sign: (operation, renew) => signer.sign(toRequest(operation), REQUEST_LIFE_SECONDS, renew),
    upload: (operation) => control.upload(operation),
  });
  return {
    name,
    ...client,
    deleteMany: control.deleteMany,
    list: control.list,
    presign: (key: string, grant: PresignOptions) => presignGrant(control.signer, client, clock, grant, key),
    close,
    now: () => (clock.known ? clock.now() : undefined),
    signer: control.signer,
    limitations,
  };
}

type ClientOptions = Extract<S3StoreOptions, { client: S3ClientLike }>;
type KeyOptions = Exclude<S3StoreOptions, ClientOptions>;

function hasClient(options: S3StoreOptions): options is ClientOptions {
  return "client" in options && options.client !== undefined;
}

function transportOf(options: S3StoreOptions): { send: Send; close(): Promise<void> } {
  const isOwn = options.fetch === undefined && !hasClient(options);
  const node = isOwn && isNode() ? nodeSend() : undefined;
  const close = async (): Promise<void> => node?.close();
  if (node !== undefined) return { send: node.send, close };
  const isClients = options.fetch === undefined && hasClient(options);
  return { send: isClients ? clientSend(options.client.config) : fetchSend(options.fetch), close };
}

/** Options that a client decides about. */
const CLIENTS_OWN = ["region", "endpoint", "credentials", "forcePathStyle"] as const;

function clientSigner(options: ClientOptions, name: string, clock: StoreClock): ClientSigner {
  const { bucket, client } = options;
  const config = checkClient(client);
  for (const option of CLIENTS_OWN) {
    if (options[option] === undefined) continue;
    throw new TypeError(`${option} is the client's to decide: set it on the S3Client, or pass no client`);
  }
  // The client knows which names there are.
  if (typeof bucket !== "string" || bucket === "") {
    throw new TypeError(`bucket must be the name or the ARN of a bucket; got ${JSON.stringify(bucket)}`);
  }
  const credentials = new CredentialSource(clientCredentials(config), name, "check the `credentials` of the client");
  return new ClientSigner(client, bucket, name, credentials, clock);
}

function keySigner(options: KeyOptions, name: string, clock: StoreClock): KeySigner {
  const { bucket, credentials, forcePathStyle } = options;
  const address = options.endpoint ?? environment("AWS_ENDPOINT_URL_S3") ?? environment("AWS_ENDPOINT_URL");
  checkBucket(bucket, address);
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
