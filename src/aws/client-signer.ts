/**
 * Signs for a user's `S3Client` by `S3RequestPresigner` of `@aws-sdk/s3-request-presigner`, at the address that the
 * client's own middleware resolves: dual stack, FIPS, acceleration, access points, ARNs, S3 Express.
 */
import type { StoreClock } from "../base/clock.js";
import type { SignableRequest, SignedRequest } from "../types.js";
import type { Signer } from "../s3/signing.js";
import { failure, networkFailure, refusal } from "../s3/refusal.js";
import { LIMITS, type Limits } from "../s3/retry.js";
import type { S3ClientLike } from "./client.js";
import type { Credentials, CredentialSource } from "./credentials.js";
import { endOf, lifetimeOf, pathOf, queryString } from "./signer.js";

/** Where the bucket is, and for which region and service its requests are signed. */
interface Route {
  protocol: string;
  hostname: string;
  port: number | undefined;
  /** Before the object key, without a slash at the end. */
  path: string;
  /** `*` for multi-region access points. */
  region: string;
  service: string;
  /** Whether a session of S3 Express signs, instead of the credentials. */
  isExpress: boolean;
  isCustom: boolean;
}

/** Settings of a client that are read here beyond its public type. */
interface SdkConfig {
  region(): Promise<string>;
  endpoint?: unknown;
  bucketEndpoint?: unknown;
  ignoreConfiguredEndpointUrls?: unknown;
  serviceConfiguredEndpoint?(): Promise<unknown>;
  s3ExpressIdentityProvider: {
    getS3ExpressIdentity(identity: Credentials, of: { Bucket: string }): Promise<Credentials>;
  };
}

interface AuthScheme {
  name?: string;
  signingName?: string;
  signingRegion?: string;
  signingRegionSet?: string[];
}

/** The part of `S3RequestPresigner` that is used. */
interface Presigner {
  presign(request: SdkRequest, options: object): Promise<SdkRequest>;
  presignWithCredentials(request: SdkRequest, credentials: Credentials, options: object): Promise<SdkRequest>;
}

interface SdkRequest {
  method: string;
  protocol: string;
  hostname: string;
  port?: number;
  path: string;
  query: Record<string, string>;
  headers: Record<string, string>;
}

const SIGNATURE = "X-Amz-Signature";

export class ClientSigner implements Signer {
  /** Limits of retries. They hold the client's number of attempts from the first signature on. */
  readonly limits: Readonly<Limits>;
  readonly #limits: Limits = { ...LIMITS };
  readonly #client: S3ClientLike;
  readonly #bucket: string;
  readonly #store: string;
  readonly #credentials: CredentialSource;
  readonly #clock: StoreClock;
  #route: Promise<Route> | undefined;
  /** The presigner for these credentials. */
  #last: { credentials: Credentials; presigner: Presigner } | undefined;

  constructor(client: S3ClientLike, bucket: string, store: string, credentials: CredentialSource, clock: StoreClock) {
    this.#client = client;
    this.#bucket = bucket;
    this.#store = store;
    this.#credentials = credentials;
    this.#clock = clock;
    this.limits = this.#limits;
  }

  async isCustom(): Promise<boolean> {
    return (await this.#resolve()).isCustom;
  }

  async sign(request: SignableRequest, expiresIn: number, renew = false): Promise<SignedRequest> {
    const credentials = await this.#credentials.get(renew);
    const route = await this.#resolve();
    const lifetime = lifetimeOf(expiresIn);
    const now = this.#clock.now();
    const { protocol, hostname, port, region, service } = route;
    const unsigned: SdkRequest = {
      method: request.method,
      protocol,
      hostname,
      ...(port !== undefined && { port }),
      path: pathOf(route.path, request.key),
      query: { ...request.query },
      headers: { ...request.headers },
    };
    const options = {
      expiresIn: lifetime,
      signingDate: new Date(now),
      signingRegion: region,
      signingService: service,
      // Headers stay headers, and each of them is signed, `content-type` too: what is signed the store enforces.
      unhoistableHeaders: new Set(Object.keys(unsigned.headers)),
      signableHeaders: new Set(Object.keys(unsigned.headers)),
    };
    let signed: SdkRequest;
    let signer = credentials;
    try {
      const presigner = await this.#presignerFor(credentials, route);
      if (route.isExpress) {
        const { s3ExpressIdentityProvider } = this.#config;
        signer = await s3ExpressIdentityProvider.getS3ExpressIdentity(credentials, { Bucket: this.#bucket });
        signed = await presigner.presignWithCredentials(unsigned, signer, options);
      } else {
        signed = await presigner.presign(unsigned, options);
      }
    } catch (error) {
      throw this.#failure(error);
    }
    const { [SIGNATURE]: signature, ...query } = signed.query;
    return {
      method: request.method,
      url: `${protocol}//${signed.headers["host"]}${signed.path}?${queryString(query).slice(1)}&${SIGNATURE}=${signature}`,
      headers: { ...request.headers },
      expiresAt: Math.min(endOf(now, lifetime, credentials), endOf(now, lifetime, signer)),
    };
  }

  get #config(): SdkConfig {
    return this.#client.config as unknown as SdkConfig;
  }

  #resolve(): Promise<Route> {
    return (this.#route ??= this.#askClient().catch((error: unknown) => {
      this.#route = undefined;
      throw this.#failure(error);
    }));
  }

  /** Lets the client begin a request as it begins its own, and reads where it would go. Nothing is sent. */
  async #askClient(): Promise<Route> {
    const { HeadBucketCommand } = (await this.#load()).s3;
    const config = this.#config;
    let found: { request: SdkRequest; authScheme: AuthScheme | undefined } | undefined;
    const stack = this.#client.middlewareStack.clone();
    stack.add(
      (_: unknown, context: { endpointV2?: { properties?: { authSchemes?: AuthScheme[] } } }) =>
        async ({ request }: { request: SdkRequest }) => {
          found = { request, authScheme: context.endpointV2?.properties?.authSchemes?.[0] };
          return { response: {}, output: { $metadata: {} } };
        },
      // The request has its address by then, and no session of S3 Express has been asked for.
      { name: "bucketcacheRoute", step: "build", priority: "high" },
    );
    const input = { Bucket: this.#bucket };
    await new HeadBucketCommand(input).resolveMiddleware(stack as never, config as never, {})({ input });
    this.#limits.attempts = await this.#client.config.maxAttempts();
    if (found === undefined) throw new Error("a middleware of the client answered in place of the bucket");
    const { request, authScheme } = found;
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

  async #presignerFor(credentials: Credentials, { region, service }: Route): Promise<Presigner> {
    const last = this.#last;
    if (last?.credentials === credentials) return last.presigner;
    const { S3RequestPresigner } = (await this.#load()).presigner;
    const options = { ...this.#client.config, credentials, region, service };
    const presigner = new S3RequestPresigner(options as never) as Presigner;
    this.#last = { credentials, presigner };
    return presigner;
  }

  async #load() {
    try {
      // Written so, each awaited right inside of `try`: that tells bundlers that they may be missing.
      const s3 = await import("@aws-sdk/client-s3");
      const presigner = await import("@aws-sdk/s3-request-presigner");
      return { s3, presigner };
    } catch (error) {
      throw failure(
        "ERR_MISSING_PEER",
        "`client` needs the SDK's presigner beside it: npm install @aws-sdk/client-s3 @aws-sdk/s3-request-presigner",
        { store: this.#store },
        {},
        error,
      );
    }
  }

  /** Tells a session that S3 Express refuses, and a failure on the way to it, from what the SDK cannot sign for. */
  #failure(error: unknown): Error {
    const { name, message, code, $metadata, $response } = error as {
      name?: string;
      message?: string;
      code?: unknown;
      $metadata?: { httpStatusCode?: number };
      $response?: { headers?: Record<string, string> };
    };
    const purpose = { store: this.#store, action: "s3express:CreateSession" };
    if (name === "BucketCacheError") return error as Error;
    if ($metadata?.httpStatusCode !== undefined) {
      const answer = { status: $metadata.httpStatusCode, code: name ?? "", message: message ?? "" };
      return refusal(answer, { header: (header) => $response?.headers?.[header] }, purpose);
    }
    if (name === "TimeoutError" || typeof code === "string") return networkFailure(error, purpose);
    return failure(
      "ERR_UNSUPPORTED",
      `the SDK cannot sign for this bucket: ${message ?? String(error)}`,
      purpose,
      {},
      error,
    );
  }
}
