/** Query signatures by the SDK's presigner, on bare requests. */
import type { S3RequestPresigner } from "@aws-sdk/s3-request-presigner";
import type { StoreClock } from "../clock.js";
import type { SignableRequest, SignedRequest } from "../internals.js";
import { encodePath } from "../key.js";
import { peer, type CredentialSource, type Credentials } from "./credentials.js";
import type { Endpoint } from "./endpoint.js";
import { sha256Class } from "./sha256.js";

/** What S3 allows. Seconds. */
export const LONGEST_LIFE = 604_800;

type BareRequest = Parameters<S3RequestPresigner["presign"]>[0];

export class Signer {
  readonly #endpoint: () => Endpoint | Promise<Endpoint>;
  readonly #credentials: CredentialSource;
  readonly #clock: StoreClock;
  readonly #store: string;
  #presigner: Promise<S3RequestPresigner> | undefined;
  #current: Credentials | undefined;

  constructor(
    endpoint: () => Endpoint | Promise<Endpoint>,
    credentials: CredentialSource,
    clock: StoreClock,
    store: string,
  ) {
    this.#endpoint = endpoint;
    this.#credentials = credentials;
    this.#clock = clock;
    this.#store = store;
  }

  /** An empty key is the bucket. `expiresIn` in seconds; `renew` asks for fresh credentials first. */
  async sign(request: SignableRequest, expiresIn: number, renew = false): Promise<SignedRequest> {
    const endpoint = await this.#endpoint();
    const credentials = (this.#current = await this.#credentials.get(renew));
    const presigner = await (this.#presigner ??= this.#load(endpoint.region));
    const { protocol, hostname, port } = endpoint;
    const headers = { ...request.headers };
    const names = new Set(Object.keys(headers));
    const lifetime = Math.max(1, Math.ceil(expiresIn));
    const signingDate = new Date(this.#clock.now());
    const signed = await presigner.presign(
      {
        method: request.method,
        protocol,
        hostname,
        port,
        path: request.key === "" ? endpoint.path || "/" : `${endpoint.path}/${encodePath(request.key)}`,
        query: { ...request.query },
        headers,
      } as BareRequest,
      // What stays a header is enforced by the store; left to itself, the signer moves x-amz-* into the query.
      { expiresIn: lifetime, signingDate, unhoistableHeaders: names, signableHeaders: new Set([...names, "host"]) },
    );
    const { host, ...sent } = signed.headers;
    const end = Math.floor(signingDate.getTime() / 1_000) + lifetime;
    return {
      method: request.method,
      url: `${protocol}//${host}${signed.path}?${queryString(signed.query as Record<string, string>)}`,
      headers: sent,
      expiresAt: Math.min(end, Number(credentials.expiration ?? Infinity) / 1_000),
    };
  }

  #load(region: string): Promise<S3RequestPresigner> {
    const loading = peer(
      () => import("@aws-sdk/s3-request-presigner"),
      "@aws-sdk/s3-request-presigner",
      this.#store,
    ).then(
      ({ S3RequestPresigner }) =>
        new S3RequestPresigner({
          region,
          credentials: () => Promise.resolve(this.#current!),
          sha256: sha256Class(),
          applyChecksum: false,
        }),
    );
    // A failed import may succeed later, where a deployment is under way.
    loading.catch(() => (this.#presigner = undefined));
    return loading;
  }
}

function queryString(query: Record<string, string>): string {
  let text = "";
  for (const name in query) text += `${text && "&"}${escape(name)}=${escape(query[name]!)}`;
  return text;
}

function escape(text: string): string {
  return encodeURIComponent(text).replace(/[!'()*]/g, (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`);
}
