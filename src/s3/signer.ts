/**
 * AWS Signature Version 4, as query parameters: one request, one signature, no payload.
 * https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html
 *
 * The SDK's presigner makes the same URLs, which a test holds this to; loading it takes as long as all the rest of a
 * first read, and calling it five times as long.
 */
import { utf8 } from "../bytes.js";
import type { StoreClock } from "../clock.js";
import type { SignableRequest, SignedRequest } from "../internals.js";
import { encodePath } from "../key.js";
import type { Credentials, CredentialSource } from "./credentials.js";
import type { Endpoint } from "./endpoint.js";
import { sha256Class, type Sha256Constructor } from "./sha256.js";

/** What S3 allows. Seconds. */
export const LONGEST_LIFE = 604_800;

const ALGORITHM = "AWS4-HMAC-SHA256";
const PAYLOAD = "UNSIGNED-PAYLOAD";

export class Signer {
  readonly #endpoint: () => Endpoint | Promise<Endpoint>;
  readonly #credentials: CredentialSource;
  readonly #clock: StoreClock;
  #hash: Sha256Constructor | undefined;
  /** The key of the day, which takes four hashes to derive. */
  #key: { credentials: Credentials; scope: string; key: Promise<Uint8Array> } | undefined;

  constructor(endpoint: () => Endpoint | Promise<Endpoint>, credentials: CredentialSource, clock: StoreClock) {
    this.#endpoint = endpoint;
    this.#credentials = credentials;
    this.#clock = clock;
  }

  /** An empty key is the bucket. `expiresIn` in seconds; `renew` asks for fresh credentials first. */
  async sign(request: SignableRequest, expiresIn: number, renew = false): Promise<SignedRequest> {
    const endpoint = await this.#endpoint();
    const credentials = await this.#credentials.get(renew);
    const lifetime = Math.max(1, Math.ceil(expiresIn));
    const now = this.#clock.now();
    const date = new Date(now).toISOString().replace(/[-:]|\.\d+/g, "");
    const scope = `${date.slice(0, 8)}/${endpoint.region}/s3/aws4_request`;
    const host = endpoint.port === undefined ? endpoint.hostname : `${endpoint.hostname}:${endpoint.port}`;
    const path = request.key === "" ? endpoint.path || "/" : `${endpoint.path}/${encodePath(request.key)}`;

    // Headers stay headers, and each of them is signed: what is signed the store enforces.
    const headers: Record<string, string> = { host, ...request.headers };
    const names = Object.keys(headers).sort();
    const lines = names.map((name) => `${name}:${headers[name]!.trim().replace(/[ \t]+/g, " ")}\n`).join("");
    const signedHeaders = names.join(";");
    const query = queryString({
      ...request.query,
      "X-Amz-Algorithm": ALGORITHM,
      "X-Amz-Content-Sha256": PAYLOAD,
      "X-Amz-Credential": `${credentials.accessKeyId}/${scope}`,
      "X-Amz-Date": date,
      "X-Amz-Expires": String(lifetime),
      "X-Amz-SignedHeaders": signedHeaders,
      ...(credentials.sessionToken !== undefined && { "X-Amz-Security-Token": credentials.sessionToken }),
    });
    const canonical = `${request.method}\n${path}\n${query}\n${lines}\n${signedHeaders}\n${PAYLOAD}`;
    const text = `${ALGORITHM}\n${date}\n${scope}\n${hex(await this.#digest(canonical))}`;
    const signature = hex(await this.#digest(text, await this.#dayKey(credentials, scope)));
    return {
      method: request.method,
      url: `${endpoint.protocol}//${host}${path}?${query}&X-Amz-Signature=${signature}`,
      headers: { ...request.headers },
      expiresAt: Math.min(Math.floor(now / 1_000) + lifetime, Number(credentials.expiration ?? Infinity) / 1_000),
    };
  }

  #dayKey(credentials: Credentials, scope: string): Promise<Uint8Array> {
    if (this.#key?.credentials === credentials && this.#key.scope === scope) return this.#key.key;
    const key = scope
      .split("/")
      .reduce<Promise<Uint8Array>>(
        async (before, part) => this.#digest(part, await before),
        Promise.resolve(utf8(`AWS4${credentials.secretAccessKey}`)),
      );
    this.#key = { credentials, scope, key };
    return key;
  }

  #digest(text: string, secret?: Uint8Array): Promise<Uint8Array> {
    const hash = new (this.#hash ??= sha256Class())(secret);
    hash.update(text);
    return hash.digest();
  }
}

/** In the order of the names, as they are signed. */
function queryString(query: Record<string, string>): string {
  return Object.keys(query)
    .map((name) => `${escape(name)}=${escape(query[name]!)}`)
    .sort()
    .join("&");
}

function escape(text: string): string {
  return encodeURIComponent(text).replace(/[!'()*]/g, (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`);
}

function hex(bytes: Uint8Array): string {
  let text = "";
  for (const byte of bytes) text += HEX[byte];
  return text;
}

const HEX = /* @__PURE__ */ Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, "0"));
