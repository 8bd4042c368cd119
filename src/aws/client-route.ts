/** The address of a bucket as a user's `S3Client` resolves it, and the region and service for which requests are signed. */
import type { S3ClientLike } from "./client.js";
import type { Identity } from "./credentials.js";
import { loadSigningPeers } from "./sdk-peers.js";

/** A request in the shape of the SDK. */
export interface SdkRequest {
  method: string;
  protocol: string;
  hostname: string;
  port?: number;
  path: string;
  query: Record<string, string>;
  headers: Record<string, string>;
}

export interface ClientRoute {
  protocol: string;
  hostname: string;
  port: number | undefined;
  /** Path before the object key, without a slash at the end. */
  path: string;
  /** `*` for multi-region access points. */
  region: string;
  service: string;
  /** Whether a session of S3 Express signs, instead of the credentials. */
  isExpress: boolean;
  isCustom: boolean;
}

/** Settings of a client that are read beyond its public type. */
export interface SdkConfig {
  region(): Promise<string>;
  endpoint?: unknown;
  bucketEndpoint?: unknown;
  ignoreConfiguredEndpointUrls?: unknown;
  serviceConfiguredEndpoint?(): Promise<unknown>;
  s3ExpressIdentityProvider: {
    getS3ExpressIdentity(identity: Identity, of: { Bucket: string }): Promise<Identity>;
  };
}

interface AuthScheme {
  name?: string;
  signingName?: string;
  signingRegion?: string;
  signingRegionSet?: string[];
}

interface EndpointContext {
  endpointV2?: { properties?: { authSchemes?: AuthScheme[] } };
}

export function sdkConfigOf(client: S3ClientLike): SdkConfig {
  return client.config as unknown as SdkConfig;
}

/**
 * Resolves the route to a bucket.
 *
 * @param store Name of the store, for errors.
 */
export async function resolveRoute(client: S3ClientLike, bucket: string, store: string): Promise<ClientRoute> {
  const config = sdkConfigOf(client);
  const { request, authScheme } = await beginRequest(client, bucket, store);
  return {
    protocol: request.protocol,
    hostname: request.hostname,
    port: request.port,
    path: request.path.replace(/\/+$/, ""),
    region: authScheme?.signingRegionSet?.join(",") ?? authScheme?.signingRegion ?? (await config.region()),
    service: authScheme?.signingName ?? "s3",
    isExpress: authScheme?.name === "sigv4-s3express",
    isCustom:
      config.endpoint !== undefined ||
      config.bucketEndpoint === true ||
      (config.ignoreConfiguredEndpointUrls !== true && (await config.serviceConfiguredEndpoint?.()) !== undefined),
  };
}

/** Lets the client begin a request as it begins its own, and returns it with its address. Nothing is sent. */
async function beginRequest(
  client: S3ClientLike,
  bucket: string,
  store: string,
): Promise<{ request: SdkRequest; authScheme: AuthScheme | undefined }> {
  const { HeadBucketCommand } = await loadSigningPeers(store);
  let begun: { request: SdkRequest; authScheme: AuthScheme | undefined } | undefined;
  const stack = client.middlewareStack.clone();
  stack.add(
    (_: unknown, context: EndpointContext) =>
      async ({ request }: { request: SdkRequest }) => {
        begun = { request, authScheme: context.endpointV2?.properties?.authSchemes?.[0] };
        return { response: {}, output: { $metadata: {} } };
      },
    // At this step the request has its address, and no session of S3 Express has been asked for.
    { name: "bucketcacheRoute", step: "build", priority: "high" },
  );
  const input = { Bucket: bucket };
  await new HeadBucketCommand(input).resolveMiddleware(stack as never, client.config as never, {})({ input });
  if (begun === undefined) throw new Error("a middleware of the client answered in place of the bucket");
  return begun;
}
