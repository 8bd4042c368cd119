/** `s3Store({ client })`: everything is the client's to decide, and the SDK's presigner signs. */
import { DeleteObjectCommand, S3Client, type S3ClientConfig } from "@aws-sdk/client-s3";
import { getSignedUrl, S3RequestPresigner } from "@aws-sdk/s3-request-presigner";
import { s3Store } from "bucketcache/s3";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import type { BucketSigner } from "../src/types.js";
import { devBucket, granted, makeHandler } from "./support/handler.js";
import { scriptedServer } from "./support/scripted.js";

const credentials = { accessKeyId: "AKIAEXAMPLE", secretAccessKey: "secret" };
const KEY = "a b/ü(1)";
const NOW = Date.UTC(2026, 10, 22, 3, 4, 5);

const clients: S3Client[] = [];
function makeClient(config: Partial<S3ClientConfig> = {}): S3Client {
  const client = new S3Client({ region: "eu-west-1", credentials, ...config } as S3ClientConfig);
  clients.push(client);
  return client;
}

const signerOf = (bucket: string, client: S3Client): BucketSigner => s3Store({ bucket, client }).signer!;

/** A URL without the order of its parameters. */
const parts = (url: string) => [url.split("?")[0], url.split("?")[1]!.split("&").sort()];

beforeEach(() => {
  vi.useFakeTimers({ now: NOW, toFake: ["Date"] });
  for (const name of ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_PROFILE", "AWS_REGION"])
    vi.stubEnv(name, undefined);
  for (const name of ["AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"]) vi.stubEnv(name, "/nowhere");
});
afterEach(() => {
  for (const client of clients.splice(0)) client.destroy();
  vi.unstubAllEnvs();
  vi.restoreAllMocks();
  vi.useRealTimers();
});

const ACCESS_POINT = "arn:aws:s3:us-west-2:123456789012:accesspoint/reports";

describe("a bucket is where the SDK says, and the URL is the one of getSignedUrl:", () => {
  test.each<[string, string, Partial<S3ClientConfig>, string]>([
    ["a region", "my-bucket", {}, "my-bucket.s3.eu-west-1.amazonaws.com"],
    ["another partition", "my-bucket", { region: "us-iso-east-1" }, "my-bucket.s3.us-iso-east-1.c2s.ic.gov"],
    ["dots in the name", "my.bucket", {}, "s3.eu-west-1.amazonaws.com"],
    ["an old name with capitals", "My_Bucket", {}, "s3.eu-west-1.amazonaws.com"],
    ["path style", "my-bucket", { forcePathStyle: true }, "s3.eu-west-1.amazonaws.com"],
    ["dual stack", "my-bucket", { useDualstackEndpoint: true }, "my-bucket.s3.dualstack.eu-west-1.amazonaws.com"],
    ["FIPS", "my-bucket", { useFipsEndpoint: true }, "my-bucket.s3-fips.eu-west-1.amazonaws.com"],
    ["acceleration", "my-bucket", { useAccelerateEndpoint: true }, "my-bucket.s3-accelerate.amazonaws.com"],
    ["an access point", ACCESS_POINT, {}, "reports-123456789012.s3-accesspoint.us-west-2.amazonaws.com"],
    [
      "an access point of object lambda",
      "arn:aws:s3-object-lambda:eu-west-1:123456789012:accesspoint/banner",
      {},
      "banner-123456789012.s3-object-lambda.eu-west-1.amazonaws.com",
    ],
    ["an endpoint with a path", "my-bucket", { endpoint: "http://127.0.0.1:9000/base/" }, "127.0.0.1:9000"],
    ["a bucket with an address", "https://files.example/x", { bucketEndpoint: true }, "files.example"],
  ])("%s", async (_, bucket, config, host) => {
    const client = makeClient(config);
    const theirs = await getSignedUrl(client, new DeleteObjectCommand({ Bucket: bucket, Key: KEY }), { expiresIn: 60 });
    const query = { "x-id": "DeleteObject" };
    const ours = await signerOf(bucket, client).sign({ method: "DELETE", key: KEY, query }, 60);
    expect(parts(ours.url)).toEqual(parts(theirs));
    expect(new URL(ours.url).host).toBe(host);
  });

  test("an endpoint of the environment", async () => {
    vi.stubEnv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9001");
    const { url, headers } = await signerOf("my-bucket", makeClient()).sign({ method: "PUT", key: "k" }, 60);
    expect(url).toMatch(/^http:\/\/127\.0\.0\.1:9001\/my-bucket\/k\?/);
    // The store there may obey a copy source that nobody signed.
    expect(headers).toEqual({ "x-amz-copy-source-if-match": "none" });
  });

  test("S3 Express, by a session", async () => {
    const bucket = "data--use1-az4--x-s3";
    const expiration = new Date(NOW + 40_500);
    const getS3ExpressIdentity = vi.fn(async () => ({
      accessKeyId: "SESSION",
      secretAccessKey: "other",
      sessionToken: "tok/en+=",
      expiration,
    }));
    const client = makeClient({ region: "us-east-1", s3ExpressIdentityProvider: { getS3ExpressIdentity } });
    const theirs = await getSignedUrl(client, new DeleteObjectCommand({ Bucket: bucket, Key: KEY }), { expiresIn: 60 });
    getS3ExpressIdentity.mockClear();
    const query = { "x-id": "DeleteObject" };
    const ours = await signerOf(bucket, client).sign({ method: "DELETE", key: KEY, query }, 60);
    expect(parts(ours.url)).toEqual(parts(theirs));
    expect(ours.url).toContain("X-Amz-S3session-Token=tok%2Fen%2B%3D");
    expect(ours.expiresAt).toBe(expiration.getTime() / 1_000);
    expect(getS3ExpressIdentity).toHaveBeenCalledExactlyOnceWith(credentials, { Bucket: bucket });
  });
});

describe("what the SDK cannot do is ERR_UNSUPPORTED with its own reason:", () => {
  test.each<[string, string, Partial<S3ClientConfig>]>([
    ["a multi-region access point without CRT", "arn:aws:s3::123456789012:accesspoint:mfzwi23gnjvgw.mrap", {}],
    ["acceleration of a bucket with dots", "my.bucket", { useAccelerateEndpoint: true }],
    ["an ARN of another region, when the client forbids it", ACCESS_POINT, { useArnRegion: false }],
    ["a name that no bucket can have", "a/b", {}],
  ])("%s", async (_, bucket, config) => {
    const client = makeClient(config);
    const command = new DeleteObjectCommand({ Bucket: bucket, Key: KEY });
    const reason = await getSignedUrl(client, command).then(
      () => "no reason",
      (error: Error) => error.message,
    );
    await expect(s3Store({ bucket, client }).presign(KEY, { operation: "delete" })).rejects.toMatchObject({
      code: "ERR_UNSUPPORTED",
      store: `s3:${bucket}`,
      message: expect.stringContaining(reason),
    });
  });
});

describe.each<[string, Error]>([
  ["an error of any name", new Error("imds down")],
  ["an error of the network", Object.assign(new Error("imds down"), { code: "ECONNREFUSED" })],
  ["a time-out", Object.assign(new Error("imds down"), { name: "TimeoutError" })],
  ["an error of the SDK", Object.assign(new Error("imds down"), { name: "CredentialsProviderError" })],
])("a provider of a client that fails by %s is ERR_CREDENTIALS, and is asked again the next time:", (_, failed) => {
  const isAskedAgain = async (config: Partial<S3ClientConfig>, advice: RegExp) => {
    const { signer } = s3Store({ bucket: "my-bucket", client: makeClient(config) });
    // A write asks for the route before it signs.
    await expect(signer!.sign({ method: "PUT", key: "k" }, 60)).rejects.toMatchObject({
      code: "ERR_CREDENTIALS",
      store: "s3:my-bucket",
      message: expect.stringMatching(advice),
    });
    expect((await signer!.sign({ method: "PUT", key: "k" }, 60)).url).toContain(".s3.eu-west-1.");
  };

  test("its region", () => {
    const region = vi.fn().mockRejectedValueOnce(failed).mockResolvedValue("eu-west-1");
    return isAskedAgain({ region }, /imds down; check the `region` of the client/);
  });

  test("its credentials", () => {
    const provider = vi.fn().mockRejectedValueOnce(failed).mockResolvedValue(credentials);
    return isAskedAgain({ credentials: provider }, /imds down; check the `credentials` of the client/);
  });
});

test("a signature that leaves a header out is refused, as the SDK makes it for multi-region access points", async () => {
  const presign = vi.spyOn(S3RequestPresigner.prototype, "presign");
  presign.mockImplementation(async ({ headers, ...rest }) => {
    const query = { ...rest.query, "X-Amz-SignedHeaders": "content-type;host", "X-Amz-Signature": "0" };
    return { ...rest, headers: { ...headers, host: "my-bucket.example" }, query } as never;
  });
  const signer = signerOf("my-bucket", makeClient());
  const headers = { "content-type": "text/plain", "x-amz-meta-entry": "v=1" };
  await expect(signer.sign({ method: "PUT", key: KEY, headers }, 60)).rejects.toMatchObject({
    code: "ERR_UNSUPPORTED",
    message: expect.stringContaining("leaves x-amz-meta-entry unsigned"),
  });
  expect((await signer.sign({ method: "GET", key: KEY }, 60)).url).toContain("my-bucket.example");
});

test("a session that S3 Express refuses is what any refusal is", async () => {
  const refused = Object.assign(new Error("no"), { name: "AccessDenied", $metadata: { httpStatusCode: 403 } });
  const s3ExpressIdentityProvider = { getS3ExpressIdentity: () => Promise.reject(refused) };
  const client = makeClient({ region: "us-east-1", s3ExpressIdentityProvider });
  const store = s3Store({ bucket: "data--use1-az4--x-s3", client });
  await expect(store.presign("k", { operation: "delete" })).rejects.toMatchObject({
    code: "ERR_FORBIDDEN",
    message: expect.stringContaining("s3express:CreateSession"),
  });
});

describe("the presigner", () => {
  test("signs each request of a client, and none of keys at hand", async () => {
    const presign = vi.spyOn(S3RequestPresigner.prototype, "presign");
    await s3Store({ bucket: "my-bucket", region: "eu-west-1", credentials }).presign("k", { operation: "delete" });
    expect(presign).not.toHaveBeenCalled();
    const store = s3Store({ bucket: "my-bucket", client: makeClient() });
    await store.presign("one", { operation: "delete" });
    await store.presign("two", { operation: "write", size: 3, contentType: "text/plain" });
    expect(presign.mock.calls.map(([{ method, path }]) => `${method} ${path}`)).toEqual(["DELETE /one", "PUT /two"]);
    const [request, options] = presign.mock.calls[1]!;
    expect(request.hostname).toBe("my-bucket.s3.eu-west-1.amazonaws.com");
    expect([...options!.signableHeaders!]).toEqual(expect.arrayContaining(["content-type", "content-length"]));
  });

  test("signs what a handler grants, and against copies where a store would obey them", async () => {
    vi.useRealTimers();
    const presign = vi.spyOn(S3RequestPresigner.prototype, "presign");
    const { stop, ...bucket } = await devBucket();
    try {
      const handler = makeHandler(bucket, {}, "client");
      const { headers, url } = await granted(handler, { op: "put", key: "k", size: 3, contentType: "text/plain" });
      // The other one asks for the store's time.
      expect(presign.mock.calls.map(([request]) => request.method).sort()).toEqual(["HEAD", "PUT"]);
      expect(headers["x-amz-copy-source-if-match"]).toBe("none");
      expect(new URL(url).searchParams.get("X-Amz-SignedHeaders")).toContain("x-amz-copy-source-if-match");
    } finally {
      await stop();
    }
  });
});

describe("credentials of a client", () => {
  test("end the signature when they end", async () => {
    const expiration = new Date(NOW + 400_000);
    const client = makeClient({ credentials: async () => ({ ...credentials, expiration }) });
    const store = s3Store({ bucket: "my-bucket", client });
    expect((await store.presign("k", { operation: "delete", expiresIn: "1h" })).expiresAt).toBe(NOW / 1_000 + 400);
  });

  test("are asked for again when they end, and the new ones sign", async () => {
    let count = 0;
    const client = makeClient({
      credentials: async () => ({
        ...credentials,
        accessKeyId: `AKIA${++count}`,
        expiration: new Date(Date.now() + 3_600_000),
      }),
    });
    const store = s3Store({ bucket: "my-bucket", client });
    const keyOf = async () =>
      new URL((await store.presign("k", { operation: "delete" })).url).searchParams.get("X-Amz-Credential");
    expect(await keyOf()).toMatch(/^AKIA1\//);
    vi.setSystemTime(NOW + 3_400_000);
    expect(await keyOf()).toMatch(/^AKIA2\//);
  });

  test("that the client finds nowhere are ERR_CREDENTIALS, with advice about the client", async () => {
    const none = Object.assign(new Error("nothing found"), { name: "CredentialsProviderError" });
    const client = makeClient({ credentials: () => Promise.reject(none) });
    await expect(s3Store({ bucket: "my-bucket", client }).presign("k", { operation: "delete" })).rejects.toMatchObject({
      code: "ERR_CREDENTIALS",
      message: expect.stringContaining("check the `credentials` of the client"),
    });
  });

  test("that cannot be had are ERR_CREDENTIALS", async () => {
    const client = makeClient({ credentials: () => Promise.reject(new Error("no role")) });
    await expect(s3Store({ bucket: "my-bucket", client }).presign("k", { operation: "delete" })).rejects.toMatchObject({
      code: "ERR_CREDENTIALS",
      message: expect.stringContaining("no role"),
    });
  });
});

test.each([1, 2])("a request is tried as often as maxAttempts says: %i", async (maxAttempts) => {
  vi.useRealTimers();
  const server = await scriptedServer();
  try {
    server.play((_, response) => response.writeHead(503).end());
    const client = makeClient({ endpoint: server.url, forcePathStyle: true, maxAttempts });
    await expect(s3Store({ bucket: "my-bucket", client }).head("k")).rejects.toMatchObject({ code: "ERR_UNAVAILABLE" });
    expect(server.seen).toHaveLength(maxAttempts);
  } finally {
    await server.close();
  }
});

test("a client's own time-outs are waited for, beyond a minute", async () => {
  const handle = vi.fn((_request: unknown, { abortSignal }: { abortSignal: AbortSignal }) => {
    return new Promise<never>((_, reject) =>
      abortSignal.addEventListener("abort", () => reject(abortSignal.reason as Error)),
    );
  });
  const requestHandler = {
    handle,
    httpHandlerConfigs: () => ({ requestTimeout: 120_000 }),
    updateHttpClientConfig() {},
  };
  const store = s3Store({
    bucket: "my-bucket",
    client: makeClient({ requestHandler: requestHandler as never, maxAttempts: 1 }),
  });
  await store.presign("k", { operation: "delete" });
  vi.useFakeTimers({ now: NOW, toFake: ["Date", "setTimeout", "clearTimeout"] });
  let outcome: unknown = "waiting";
  void store.head("k").catch((error: unknown) => (outcome = error));
  await vi.waitFor(() => expect(handle).toHaveBeenCalled());
  await vi.advanceTimersByTimeAsync(100_000);
  expect(outcome).toBe("waiting");
  await vi.advanceTimersByTimeAsync(25_000);
  expect(outcome).toMatchObject({ code: "ERR_TIMEOUT" });
});

test("the client's own middleware stays as it is, and its log is told no secret", async () => {
  const told: unknown[] = [];
  const log = (...args: unknown[]) => void told.push(...args);
  const client = makeClient({ logger: { debug: log, info: log, warn: log, error: log } });
  const before = client.middlewareStack.identify();
  await s3Store({ bucket: "my-bucket", client }).presign("k", { operation: "delete" });
  expect(client.middlewareStack.identify()).toEqual(before);
  expect(JSON.stringify(told)).not.toContain(credentials.secretAccessKey);
});
