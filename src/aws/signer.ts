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
import { formatQuery, percentEncode, percentEncodePath } from "../base/percent.js";
import type { Identity, CredentialSource } from "./credentials.js";
import type { Endpoint } from "./endpoint.js";
import { sha256, type Sha256 } from "../base/sha256.js";
import type { Bytes } from "../types.js";

const ALGORITHM = "AWS4-HMAC-SHA256";
const PAYLOAD = "UNSIGNED-PAYLOAD";

/** The parts of a signature that all requests of one second share. */
interface Stamp {
  /** Unix seconds. */
  second: number;
  credentials: Identity;
  region: string;
  lifeSeconds: number;
  date: string;
  scope: string;
  key: Bytes | Promise<Bytes>;
  /** Parameters of the signature, up to the signed headers. */
  query: string;
}

/** Signs by keys at hand. */
export class KeySigner implements Signer {
  readonly #endpoint: () => Endpoint | Promise<Endpoint>;
  readonly #credentials: CredentialSource;
  readonly #clock: StoreClock;
  #hashes: Sha256 | undefined;
  /** Key of the day, which takes four hashes to derive. */
  #day: { credentials: Identity; scope: string; key: Bytes | Promise<Bytes> } | undefined;
  #last: Stamp | undefined;

  constructor(endpoint: () => Endpoint | Promise<Endpoint>, credentials: CredentialSource, clock: StoreClock) {
    this.#endpoint = endpoint;
    this.#credentials = credentials;
    this.#clock = clock;
  }

  async isCustom(): Promise<boolean> {
    return (await this.#endpoint()).isCustom;
  }

  async sign(request: SignableRequest, expiresIn: number, renew = false): Promise<SignedRequest> {
    const endpoint = await this.#endpoint();
    const credentials = await this.#credentials.get(renew);
    const lifeSeconds = wholeSeconds(expiresIn);
    const nowMs = this.#clock.now();
    const stamp = this.#stamp(Math.floor(nowMs / 1_000), credentials, endpoint.region, lifeSeconds);
    const host = endpoint.port === undefined ? endpoint.hostname : `${endpoint.hostname}:${endpoint.port}`;
    const path = pathOf(endpoint.path, request.key);

    // Headers stay headers, and each of them is signed, since the store enforces what is signed.
    let lines = `host:${host}\n`;
    let signedHeaders = "host";
    if (request.headers !== undefined) {
      const headers: Record<string, string> = { host, ...request.headers };
      const names = Object.keys(headers).sort();
      lines = names.map((name) => `${name}:${headers[name]!.trim().replace(/[ \t]+/g, " ")}\n`).join("");
      signedHeaders = names.join(";");
    }
    const query = stamp.query + signedHeaders.replaceAll(";", "%3B") + formatQuery(request.query);
    const canonical = `${request.method}\n${path}\n${query}\n${lines}\n${signedHeaders}\n${PAYLOAD}`;
    const hashes = (this.#hashes ??= sha256());
    // A hash that is there at once is not awaited.
    let digest = hashes.hash(canonical);
    if (typeof digest !== "string") digest = await digest;
    const key = stamp.key instanceof Promise ? await stamp.key : stamp.key;
    let signature = hashes.hmac(key, `${ALGORITHM}\n${stamp.date}\n${stamp.scope}\n${digest}`);
    if (typeof signature !== "string") signature = await signature;
    return {
      method: request.method,
      url: `${endpoint.protocol}//${host}${path}?${query}&X-Amz-Signature=${signature}`,
      headers: { ...request.headers },
      expiresAt: endOf(nowMs, lifeSeconds, credentials),
    };
  }

  #stamp(second: number, credentials: Identity, region: string, lifeSeconds: number): Stamp {
    const last = this.#last;
    if (
      last?.second === second &&
      last.credentials === credentials &&
      last.region === region &&
      last.lifeSeconds === lifeSeconds
    ) {
      return last;
    }
    const date = new Date(second * 1_000).toISOString().replace(/[-:]|\.\d+/g, "");
    const scope = `${date.slice(0, 8)}/${region}/s3/aws4_request`;
    const token = credentials.sessionToken;
    const query =
      `X-Amz-Algorithm=${ALGORITHM}&X-Amz-Content-Sha256=${PAYLOAD}` +
      `&X-Amz-Credential=${percentEncode(`${credentials.accessKeyId}/${scope}`)}&X-Amz-Date=${date}&X-Amz-Expires=${lifeSeconds}` +
      `${token === undefined ? "" : `&X-Amz-Security-Token=${percentEncode(token)}`}&X-Amz-SignedHeaders=`;
    const key = this.#dayKey(credentials, scope);
    return (this.#last = { second, credentials, region, lifeSeconds, date, scope, key, query });
  }

  #dayKey(credentials: Identity, scope: string): Bytes | Promise<Bytes> {
    const day = this.#day;
    if (day?.credentials === credentials && day.scope === scope) return day.key;
    const key = (this.#hashes ??= sha256()).derive(`AWS4${credentials.secretAccessKey}`, scope.split("/"));
    this.#day = { credentials, scope, key };
    return key;
  }
}

/** Returns the whole seconds for which a signature is asked to last. */
export function wholeSeconds(expiresIn: number): number {
  return Math.max(1, Math.ceil(expiresIn));
}

/** Returns the Unix seconds at which a signature ends: never later than the credentials. */
export function endOf(nowMs: number, lifeSeconds: number, credentials: { expiration?: Date | undefined }): number {
  return Math.min(Math.floor(nowMs / 1_000) + lifeSeconds, Number(credentials.expiration ?? Infinity) / 1_000);
}

/** Returns the path of an object below the path of its bucket; that of the bucket for an empty key. */
export function pathOf(bucketPath: string, key: string): string {
  return key === "" ? bucketPath || "/" : `${bucketPath}/${percentEncodePath(key)}`;
}
