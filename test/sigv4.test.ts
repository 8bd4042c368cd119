import { createHash, createHmac } from "node:crypto";
import { S3Client } from "@aws-sdk/client-s3";
import { S3RequestPresigner } from "@aws-sdk/s3-request-presigner";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { StoreClock } from "../src/base/clock.js";
import type { SignableRequest } from "../src/types.js";
import { percentEncodePath } from "../src/base/percent.js";
import { ClientSigner } from "../src/aws/client-signer.js";
import { CredentialSource, type Identity } from "../src/aws/credentials.js";
import { resolveEndpoint } from "../src/aws/endpoint.js";
import { hasLoneSurrogate } from "../src/data/plain.js";
import { KeySigner } from "../src/aws/signer.js";

const NOW = Date.UTC(2026, 10, 22, 3, 4, 5, 678);

beforeEach(() => void vi.useFakeTimers({ now: NOW, toFake: ["Date"] }));
afterEach(() => {
  vi.unstubAllGlobals();
  vi.useRealTimers();
});

const segment = fc
  .string({ unit: "grapheme", minLength: 1, maxLength: 12 })
  .filter((text) => !hasLoneSurrogate(text) && !/[/\u0000-\u001f]/.test(text));
const visible = fc.string({ maxLength: 20 }).map((text) => text.trim());
const credentials = fc.record(
  {
    accessKeyId: fc.stringMatching(/^[A-Z0-9]{16,20}$/),
    secretAccessKey: fc.string({ minLength: 1, maxLength: 40 }),
    sessionToken: fc.base64String({ minLength: 4, maxLength: 60 }),
    expiration: fc.date({ min: new Date(NOW + 1_000), max: new Date(NOW + 700_000_000), noInvalidDate: true }),
  },
  { requiredKeys: ["accessKeyId", "secretAccessKey"] },
);
const region = fc.constantFrom("eu-west-1", "us-east-1", "us-gov-west-1", "cn-north-1", "ap-southeast-7");
const request: fc.Arbitrary<SignableRequest> = fc.record({
  method: fc.constantFrom("GET", "HEAD", "PUT", "DELETE", "POST"),
  key: fc.array(segment, { minLength: 1, maxLength: 3 }).map((parts) => parts.join("/")),
  query: fc.dictionary(
    fc.constantFrom("prefix", "uploadId", "partNumber", "response-content-type", "uploads", "list-type"),
    fc.string({ unit: "grapheme", maxLength: 20 }).filter((text) => !hasLoneSurrogate(text)),
  ),
  headers: fc.dictionary(
    fc.constantFrom(
      "content-type",
      "cache-control",
      "content-length",
      "x-amz-meta-entry",
      "x-amz-meta-expires_at",
      "if-none-match",
      "x-amz-checksum-sha256",
    ),
    visible,
  ),
});

/** A URL without the order of its parameters, which is nobody's business. */
const parts = (url: string) => [url.split("?")[0], url.split("?")[1]!.split("&").sort()];

/** In the shape that the SDK's signers take. */
class Sha256 {
  readonly #hash;
  constructor(secret?: string | Uint8Array) {
    this.#hash = secret === undefined ? createHash("sha256") : createHmac("sha256", secret);
  }
  update(data: string | Uint8Array) {
    this.#hash.update(data);
  }
  digest() {
    return Promise.resolve(this.#hash.digest());
  }
}

async function bySdk(
  signable: SignableRequest,
  secret: { accessKeyId: string; secretAccessKey: string },
  expiresIn: number,
  region = "eu-west-1",
) {
  const { hostname } = resolveEndpoint({ bucket: "my-bucket", region });
  // RFC 3986, which the SDK's transports apply when they write the URL.
  const escapeUri = (text: string) =>
    encodeURIComponent(text).replace(/[!'()*]/g, (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`);
  const presigner = new S3RequestPresigner({
    region,
    credentials: secret,
    sha256: Sha256 as never,
  });
  const names = new Set(Object.keys(signable.headers ?? {}));
  const signed = await presigner.presign(
    {
      method: signable.method,
      protocol: "https:",
      hostname,
      path: `/${percentEncodePath(signable.key)}`,
      query: { ...signable.query },
      headers: { ...signable.headers },
    } as never,
    { expiresIn, unhoistableHeaders: names, signableHeaders: new Set([...names, "host"]) },
  );
  const query = Object.entries(signed.query as Record<string, string>).map(
    ([name, value]) => `${escapeUri(name)}=${escapeUri(value)}`,
  );
  return `https://${signed.headers["host"]}${signed.path}?${query.join("&")}`;
}

/** As `s3Store({ client })` makes it. */
function clientSigner(credentials: Identity, region: string): ClientSigner {
  const client = new S3Client({ region, credentials });
  const source = new CredentialSource(() => client.config.credentials(), "s3:x");
  return new ClientSigner(client, "my-bucket", "s3:x", source, new StoreClock());
}

describe.each(["node:crypto", "WebCrypto"])("by %s", (engine) => {
  beforeEach(() => {
    // Without `getBuiltinModule` this is a runtime like workerd.
    if (engine === "WebCrypto") vi.stubGlobal("process", { ...process, getBuiltinModule: undefined });
  });

  test("every signature is the one that the SDK's presigner makes, by itself and for a client", async () => {
    await fc.assert(
      fc.asyncProperty(
        request,
        credentials,
        region,
        fc.integer({ min: 1, max: 604_800 }),
        async (signable, secret, region, expiresIn) => {
          const endpoint = resolveEndpoint({ bucket: "my-bucket", region });
          const source = new CredentialSource(secret, "s3:x");
          const signed = await new KeySigner(() => endpoint, source, new StoreClock()).sign(signable, expiresIn);
          expect(parts(signed.url)).toEqual(parts(await bySdk(signable, secret, expiresIn, region)));
          expect(signed.headers).toEqual(signable.headers);
          const end = Math.min(Math.floor(NOW / 1_000) + expiresIn, Number(secret.expiration ?? Infinity) / 1_000);
          expect(signed.expiresAt).toBe(end);
          expect(await clientSigner(secret, region).sign(signable, expiresIn)).toEqual(signed);
        },
      ),
      { numRuns: 60 },
    );
  });
});

test("what requests of one second share is made anew for another second, life or region", async () => {
  let endpoint = resolveEndpoint({ bucket: "my-bucket", region: "eu-west-1" });
  const secret = { accessKeyId: "A".repeat(20), secretAccessKey: "one" };
  const signer = new KeySigner(() => endpoint, new CredentialSource(secret, "s3:x"), new StoreClock());
  const signable: SignableRequest = { method: "GET", key: "k" };
  const first = await signer.sign(signable, 60);
  expect(await signer.sign(signable, 60)).toEqual(first);
  expect(parts((await signer.sign(signable, 61)).url)).toEqual(parts(await bySdk(signable, secret, 61)));
  vi.setSystemTime(NOW + 1_000);
  expect(parts((await signer.sign(signable, 60)).url)).toEqual(parts(await bySdk(signable, secret, 60)));
  endpoint = resolveEndpoint({ bucket: "my-bucket", region: "us-west-2" });
  expect((await signer.sign(signable, 60)).url).toContain("%2Fus-west-2%2Fs3%2F");
});

test("a new day has a new key, and so have new credentials", async () => {
  const endpoint = resolveEndpoint({ bucket: "my-bucket", region: "eu-west-1" });
  let secret = { accessKeyId: "A".repeat(20), secretAccessKey: "one" };
  const source = new CredentialSource(async () => secret, "s3:x");
  const signer = new KeySigner(() => endpoint, source, new StoreClock());
  const signable: SignableRequest = { method: "GET", key: "k" };
  await signer.sign(signable, 60);
  vi.setSystemTime(NOW + 86_400_000);
  expect(parts((await signer.sign(signable, 60)).url)).toEqual(parts(await bySdk(signable, secret, 60)));
  secret = { accessKeyId: "B".repeat(20), secretAccessKey: "two" };
  expect(parts((await signer.sign(signable, 60, true)).url)).toEqual(parts(await bySdk(signable, secret, 60)));
});
