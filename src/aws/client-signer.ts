/**
 * Signs for a user's `S3Client` by `S3RequestPresigner` of `@aws-sdk/s3-request-presigner`, at the address that the
 * client's own middleware resolves: dual stack, FIPS, acceleration, access points, ARNs, S3 Express.
 */
import type { StoreClock } from "../base/clock.js";
import { formatQuery } from "../base/percent.js";
import type { SignableRequest, SignedRequest } from "../types.js";
import { failure, networkFailure } from "../s3/failure.js";
import { refusalError } from "../s3/refusal.js";
import { LIMITS, type Limits } from "../s3/retry.js";
import type { Signer } from "../s3/signing.js";
import type { S3ClientLike } from "./client.js";
import { resolveRoute, sdkConfigOf, type ClientRoute, type SdkRequest } from "./client-route.js";
import type { Identity, CredentialSource } from "./credentials.js";
import { loadSigningPeers } from "./sdk-peers.js";
import { endOf, pathOf, wholeSeconds } from "./signer.js";

/** The part of `S3RequestPresigner` that is used. */
interface Presigner {
  presign(request: SdkRequest, options: object): Promise<SdkRequest>;
  presignWithCredentials(request: SdkRequest, credentials: Identity, options: object): Promise<SdkRequest>;
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
  #route: Promise<ClientRoute> | undefined;
  /** Presigner of the credentials that signed last. */
  #last: { credentials: Identity; presigner: Presigner } | undefined;

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
    const lifeSeconds = wholeSeconds(expiresIn);
    const nowMs = this.#clock.now();
    const unsigned = toSdkRequest(request, route);
    const options = presignOptions(unsigned, route, lifeSeconds, nowMs);
    const { signed, identity } = await this.#presign(unsigned, options, credentials, route);
    checkSignedHeaders(signed, Object.keys(request.headers ?? {}), this.#store);
    const { [SIGNATURE]: signature, ...query } = signed.query;
    const address = `${route.protocol}//${signed.headers["host"]}${signed.path}`;
    return {
      method: request.method,
      url: `${address}?${formatQuery(query).slice(1)}&${SIGNATURE}=${signature}`,
      headers: { ...request.headers },
      expiresAt: Math.min(endOf(nowMs, lifeSeconds, credentials), endOf(nowMs, lifeSeconds, identity)),
    };
  }

  /** Signs by the credentials, or by a session of S3 Express. `identity` is the one that signed. */
  async #presign(
    unsigned: SdkRequest,
    options: object,
    credentials: Identity,
    route: ClientRoute,
  ): Promise<{ signed: SdkRequest; identity: Identity }> {
    try {
      const presigner = await this.#presignerFor(credentials, route);
      if (!route.isExpress) return { signed: await presigner.presign(unsigned, options), identity: credentials };
      const { s3ExpressIdentityProvider: sessions } = sdkConfigOf(this.#client);
      const identity = await sessions.getS3ExpressIdentity(credentials, { Bucket: this.#bucket });
      return { signed: await presigner.presignWithCredentials(unsigned, identity, options), identity };
    } catch (error) {
      throw signingFailure(error, this.#store);
    }
  }

  #resolve(): Promise<ClientRoute> {
    return (this.#route ??= this.#askClient().catch((error: unknown) => {
      this.#route = undefined;
      throw signingFailure(error, this.#store);
    }));
  }

  async #askClient(): Promise<ClientRoute> {
    // Asked before the middleware asks them, since a failure there looks like a bucket that the SDK refuses.
    await this.#credentials.get();
    await this.#askRegion();
    const route = await resolveRoute(this.#client, this.#bucket, this.#store);
    this.#limits.attempts = await this.#client.config.maxAttempts();
    return route;
  }

  async #askRegion(): Promise<void> {
    try {
      await sdkConfigOf(this.#client).region();
    } catch (error) {
      const text = `no region: ${(error as Error)?.message}; check the \`region\` of the client`;
      throw failure("ERR_CREDENTIALS", text, { store: this.#store }, {}, error);
    }
  }

  async #presignerFor(credentials: Identity, { region, service }: ClientRoute): Promise<Presigner> {
    const last = this.#last;
    if (last?.credentials === credentials) return last.presigner;
    const { S3RequestPresigner } = await loadSigningPeers(this.#store);
    const options = { ...this.#client.config, credentials, region, service };
    const presigner = new S3RequestPresigner(options as never) as Presigner;
    this.#last = { credentials, presigner };
    return presigner;
  }
}

function toSdkRequest(request: SignableRequest, { protocol, hostname, port, path }: ClientRoute): SdkRequest {
  return {
    method: request.method,
    protocol,
    hostname,
    ...(port !== undefined && { port }),
    path: pathOf(path, request.key),
    query: { ...request.query },
    headers: { ...request.headers },
  };
}

function presignOptions({ headers }: SdkRequest, route: ClientRoute, lifeSeconds: number, nowMs: number): object {
  return {
    expiresIn: lifeSeconds,
    signingDate: new Date(nowMs),
    signingRegion: route.region,
    signingService: route.service,
    // Headers stay headers, and each of them is signed, `content-type` too, since the store enforces what is signed.
    unhoistableHeaders: new Set(Object.keys(headers)),
    signableHeaders: new Set(Object.keys(headers)),
  };
}

/**
 * Refuses a signature that leaves a header out. The SDK's signer for multi-region access points (SigV4a) moves `x-amz-*`
 * headers into the query instead, and S3 stores no metadata from there.
 */
function checkSignedHeaders({ query }: SdkRequest, names: readonly string[], store: string): void {
  const signed = (query["X-Amz-SignedHeaders"] ?? "").split(";");
  const missing = names.filter((name) => !signed.includes(name));
  if (missing.length === 0) return;
  const text = `the SDK's signer for this bucket leaves ${missing.join(", ")} unsigned, and S3 refuses that: write by the name of one of its buckets`;
  throw failure("ERR_UNSUPPORTED", text, { store });
}

/** Tells a session that S3 Express refuses, and a failure on the way to it, from a bucket that the SDK cannot sign for. */
function signingFailure(error: unknown, store: string): Error {
  const { name, message, code, $metadata, $response } = error as {
    name?: string;
    message?: string;
    code?: unknown;
    $metadata?: { httpStatusCode?: number };
    $response?: { headers?: Record<string, string> };
  };
  if (name === "BucketCacheError") return error as Error;
  const purpose = { store, action: "s3express:CreateSession" };
  if ($metadata?.httpStatusCode !== undefined) {
    const refusal = { status: $metadata.httpStatusCode, code: name ?? "", message: message ?? "" };
    return refusalError(refusal, { header: (header) => $response?.headers?.[header] }, purpose);
  }
  if (name?.endsWith("ProviderError") === true) {
    const text = `the client has no credentials or no region: ${message ?? ""}; check its \`credentials\` and \`region\``;
    return failure("ERR_CREDENTIALS", text, purpose, {}, error);
  }
  if (name === "TimeoutError" || typeof code === "string") return networkFailure(error, purpose);
  const text = `the SDK cannot sign for this bucket: ${message ?? String(error)}`;
  return failure("ERR_UNSUPPORTED", text, purpose, {}, error);
}
