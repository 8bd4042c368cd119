/**
 * AWS Signature Version 4, as query parameters: one request, one signature, no payload.
 * https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html
 *
 * This signer is for keys at hand. The SDK's presigner, which signs for a client (client-signer.ts), makes the same URLs;
 * a test holds both to that. Loading the presigner takes as long as all the rest of a first read, and calling it seven
 * times as long as this.
 */
import type { StoreClock } from "../base/clock.js";
import type { Signer } from "../s3/signing.js";
import type { SignableRequest, SignedRequest } from "../types.js";
import { percentEncode, percentEncodePath } from "../base/percent.js";
import type { Credentials, CredentialSource } from "./credentials.js";
import type { Endpoint } from "./endpoint.js";
import { sha256, type Sha256 } from "../base/sha256.js";
import type { Bytes } from "../types.js";

const ALGORITHM = "AWS4-HMAC-SHA256";
const PAYLOAD = "UNSIGNED-PAYLOAD";

/** What all requests of one second share. */
interface Stamp {
  second: number;
  credentials: Credentials;
  region: string;
  lifetime: number;
  date: string;
  scope: string;
  key: Bytes | Promise<Bytes>;
  /** The parameters of the signature, up to the signed headers. */
  query: string;
}

export class KeySigner implements Signer {
  readonly #endpoint: () => Endpoint | Promise<Endpoint>;
  readonly #credentials: CredentialSource;
  readonly #clock: StoreClock;
  #hashes: Sha256 | undefined;
  /** The key of the day, which takes four hashes to derive. */
  #day: { credentials: Credentials; scope: string; key: Bytes | Promise<Bytes> } | undefined;
  #last: Stamp | undefined;

  constructor(endpoint: () => Endpoint | Promise<Endpoint>, credentials: CredentialSource, clock: StoreClock) {
    this.#endpoint = endpoint;
    this.#credentials = credentials;
    this.#clock = clock;
  }

  async isCustom(): Promise<boolean> {
    return (await this.#endpoint()).custom;
  }

  async sign(request: SignableRequest, expiresIn: number, renew = false): Promise<SignedRequest> {
    const endpoint = await this.#endpoint();
    const credentials = await this.#credentials.get(renew);
    const lifetime = lifetimeOf(expiresIn);
    const now = this.#clock.now();
    const stamp = this.#stamp(Math.floor(now / 1_000), credentials, endpoint.region, lifetime);
    const host = endpoint.port === undefined ? endpoint.hostname : `${endpoint.hostname}:${endpoint.port}`;
    const path = pathOf(endpoint.path, request.key);

    // Headers stay headers, and each of them is signed: what is signed the store enforces.
    let lines = `host:${host}\n`;
    let signedHeaders = "host";
    if (request.headers !== undefined) {
      const headers: Record<string, string> = { host, ...request.headers };
      const names = Object.keys(headers).sort();
      lines = names.map((name) => `${name}:${headers[name]!.trim().replace(/[ \t]+/g, " ")}\n`).join("");
      signedHeaders = names.join(";");
    }
    const query = stamp.query + signedHeaders.replaceAll(";", "%3B") + queryString(request.query);
    const canonical = `${request.method}\n${path}\n${query}\n${lines}\n${signedHeaders}\n${PAYLOAD}`;
    const hashes = (this.#hashes ??= sha256());
    // Hashes that are there at once are not waited for.
    let digest = hashes.hash(canonical);
    if (typeof digest !== "string") digest = await digest;
    const key = stamp.key instanceof Promise ? await stamp.key : stamp.key;
    let signature = hashes.hmac(key, `${ALGORITHM}\n${stamp.date}\n${stamp.scope}\n${digest}`);
    if (typeof signature !== "string") signature = await signature;
    return {
      method: request.method,
      url: `${endpoint.protocol}//${host}${path}?${query}&X-Amz-Signature=${signature}`,
      headers: { ...request.headers },
      expiresAt: endOf(now, lifetime, credentials),
    };
  }

  #stamp(second: number, credentials: Credentials, region: string, lifetime: number): Stamp {
    const last = this.#last;
    if (
      last?.second === second &&
      last.credentials === credentials &&
      last.region === region &&
      last.lifetime === lifetime
    ) {
      return last;
    }
    const date = new Date(second * 1_000).toISOString().replace(/[-:]|\.\d+/g, "");
    const scope = `${date.slice(0, 8)}/${region}/s3/aws4_request`;
    const token = credentials.sessionToken;
    const query =
      `X-Amz-Algorithm=${ALGORITHM}&X-Amz-Content-Sha256=${PAYLOAD}` +
      `&X-Amz-Credential=${percentEncode(`${credentials.accessKeyId}/${scope}`)}&X-Amz-Date=${date}&X-Amz-Expires=${lifetime}` +
      `${token === undefined ? "" : `&X-Amz-Security-Token=${percentEncode(token)}`}&X-Amz-SignedHeaders=`;
    const key = this.#dayKey(credentials, scope);
    return (this.#last = { second, credentials, region, lifetime, date, scope, key, query });
  }

  #dayKey(credentials: Credentials, scope: string): Bytes | Promise<Bytes> {
    const day = this.#day;
    if (day?.credentials === credentials && day.scope === scope) return day.key;
    const key = (this.#hashes ??= sha256()).derive(`AWS4${credentials.secretAccessKey}`, scope.split("/"));
    this.#day = { credentials, scope, key };
    return key;
  }
}

/** The whole seconds of a signature. */
export function lifetimeOf(expiresIn: number): number {
  return Math.max(1, Math.ceil(expiresIn));
}

/** When a signature made `now` (in milliseconds) ends, in Unix seconds: never later than the credentials. */
export function endOf(now: number, lifetime: number, credentials: { expiration?: Date | undefined }): number {
  return Math.min(Math.floor(now / 1_000) + lifetime, Number(credentials.expiration ?? Infinity) / 1_000);
}

/** The path of an object, or of the bucket for an empty key, below the path of the bucket. */
export function pathOf(base: string, key: string): string {
  return key === "" ? base || "/" : `${base}/${percentEncodePath(key)}`;
}

/** Parameters, each behind an `&`, in the order in which they are signed: small letters come after `X-Amz-`. */
export function queryString(query: Record<string, string> = {}): string {
  return Object.keys(query)
    .map((name) => `&${percentEncode(name)}=${percentEncode(query[name]!)}`)
    .sort()
    .join("");
}
