import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { S3Client } from "@aws-sdk/client-s3";
import { createCache } from "bucketcache";
import { s3Store, type S3StoreOptions } from "bucketcache/s3";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { CredentialSource } from "../src/aws/credentials.js";

const credentials = { accessKeyId: "AKIAEXAMPLE", secretAccessKey: "secret" };
const base = { bucket: "my-bucket", region: "eu-west-1", credentials };

const KEYS = "aws_access_key_id = AKIAPROFILE\naws_secret_access_key = secret\n";

/** Where requests go, without a request: a grant says it. */
async function addressOf(options: Partial<S3StoreOptions> & Record<string, unknown>): Promise<string> {
  const { url } = await s3Store({ ...base, ...options } as S3StoreOptions).presign("a b/c", { operation: "delete" });
  return url.slice(0, url.indexOf("?"));
}

beforeEach(() => {
  for (const name of ["AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"])
    vi.stubEnv(name, "");
  for (const name of ["AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"]) vi.stubEnv(name, "/nowhere");
  vi.stubEnv("AWS_PROFILE", "");
  for (const name of ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"]) vi.stubEnv(name, undefined);
});
afterEach(() => {
  vi.unstubAllEnvs();
  vi.useRealTimers();
});

describe("where a bucket is", () => {
  test.each<[string, Record<string, unknown>, string]>([
    ["on AWS", {}, "https://my-bucket.s3.eu-west-1.amazonaws.com/a%20b/c"],
    ["in China", { region: "cn-north-1" }, "https://my-bucket.s3.cn-north-1.amazonaws.com.cn/a%20b/c"],
    ["with dots in its name", { bucket: "my.bucket" }, "https://s3.eu-west-1.amazonaws.com/my.bucket/a%20b/c"],
    ["with path style", { forcePathStyle: true }, "https://s3.eu-west-1.amazonaws.com/my-bucket/a%20b/c"],
    ["at an endpoint", { endpoint: "http://127.0.0.1:9000" }, "http://127.0.0.1:9000/my-bucket/a%20b/c"],
    ["at an endpoint with a path", { endpoint: "https://gate/s3/" }, "https://gate/s3/my-bucket/a%20b/c"],
    ["at an IPv6 endpoint", { endpoint: "http://[::1]:9000" }, "http://[::1]:9000/my-bucket/a%20b/c"],
    [
      "at an endpoint by host name",
      { endpoint: "https://r2.dev", forcePathStyle: false },
      "https://my-bucket.r2.dev/a%20b/c",
    ],
    [
      "at a numeric endpoint, which has no sub-domains",
      { endpoint: "http://127.0.0.1:9", forcePathStyle: false },
      "http://127.0.0.1:9/my-bucket/a%20b/c",
    ],
  ])("%s", async (_, options, address) => {
    expect(await addressOf(options)).toBe(address);
  });

  test("comes from the environment when nothing else says it", async () => {
    vi.stubEnv("AWS_REGION", "ap-south-1");
    expect(await addressOf({ region: undefined })).toContain(".s3.ap-south-1.");
    vi.stubEnv("AWS_ENDPOINT_URL", "http://127.0.0.1:1");
    expect(await addressOf({})).toContain("http://127.0.0.1:1/");
    vi.stubEnv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:2");
    expect(await addressOf({})).toContain("http://127.0.0.1:2/");
    expect(await addressOf({ endpoint: "http://127.0.0.1:3" })).toContain("http://127.0.0.1:3/");
  });

  // The SDK remembers what it read of a file, so each has a name of its own.
  test.each<[string, { profile?: string; config?: string; credentials: string; region: string }]>([
    [
      "of the default profile",
      { config: "[default]\nregion = eu-north-1\n", credentials: `[default]\n${KEYS}`, region: "eu-north-1" },
    ],
    [
      "of a named profile",
      {
        profile: "work",
        config: "[default]\nregion=a-1\n[profile work]\nregion=eu-west-3\n",
        credentials: `[work]\n${KEYS}`,
        region: "eu-west-3",
      },
    ],
    ["beside the keys", { credentials: `[default]\nregion = b-1\n${KEYS}`, region: "b-1" }],
  ])(
    "comes with the keys from the profile in use: %s",
    async (name, { profile, config, credentials: keys, region }) => {
      const folder = mkdtempSync(join(tmpdir(), "bucketcache-profile-"));
      try {
        const file = (kind: string) => join(folder, `${kind}-${name.replaceAll(" ", "-")}`);
        if (config !== undefined) writeFileSync(file("config"), config);
        writeFileSync(file("credentials"), keys);
        vi.stubEnv("AWS_CONFIG_FILE", file("config"));
        vi.stubEnv("AWS_SHARED_CREDENTIALS_FILE", file("credentials"));
        vi.stubEnv("AWS_PROFILE", profile ?? "");
        vi.stubEnv("AWS_REGION", undefined);
        expect(await addressOf({ region: undefined, credentials: undefined })).toContain(`.s3.${region}.`);
        vi.stubEnv("AWS_REGION", "ap-south-1");
        expect(await addressOf({ region: undefined, credentials: undefined })).toContain(".s3.ap-south-1.");
      } finally {
        rmSync(folder, { recursive: true });
      }
    },
  );

  test("is signed for us-east-1 at an endpoint without a region", async () => {
    const store = s3Store({ bucket: "my-bucket", endpoint: "http://127.0.0.1:9", credentials });
    expect((await store.presign("k", { operation: "delete" })).url).toMatch(
      /Credential=AKIAEXAMPLE%2F\d{8}%2Fus-east-1%2Fs3/,
    );
  });
});

describe("misuse is a TypeError that says what is right", () => {
  test.each<[string, Record<string, unknown>, RegExp]>([
    ["no bucket", { bucket: undefined }, /bucket must be 3 to 63/],
    ["a short bucket", { bucket: "ab" }, /"ab"/],
    ["capitals", { bucket: "MyBucket" }, /lower-case/],
    ["a path for a bucket", { bucket: "bucket/prefix" }, /bucket must/],
    ["an address for a bucket", { bucket: "127.0.0.1" }, /bucket must/],
    ["no region", { region: undefined }, /AWS_REGION/],
    ["no region beside a provider", { region: undefined, credentials: async () => credentials }, /AWS_REGION/],
    ["a path for a bucket at an endpoint", { bucket: "a/b", endpoint: "http://127.0.0.1:9000" }, /bucket must/],
    [
      "an endpoint that holds the bucket already",
      { bucket: "my-results", endpoint: "http://127.0.0.1:9000/my-results/" },
      /must not end with the name of the bucket.*"http:\/\/127\.0\.0\.1:9000\/my-results\/"/,
    ],
    ["an odd region", { region: "eu west" }, /region must/],
    ["an endpoint without a scheme", { endpoint: "localhost:9000" }, /"http:\/\/127.0.0.1:9000"/],
    ["an endpoint with a query", { endpoint: "http://x/?a" }, /without a query/],
    ["a small part", { partSize: 1_000 }, /partSize must be .* 5242880/],
    ["no concurrency", { concurrency: 0 }, /concurrency must be .* 1/],
    ["a client that is none", { client: {} }, /client must be an S3Client/],
  ])("%s", (_, options, message) => {
    expect(() => s3Store({ ...base, ...options } as unknown as S3StoreOptions)).toThrow(TypeError);
    expect(() => s3Store({ ...base, ...options } as unknown as S3StoreOptions)).toThrow(message);
  });

  test("an empty key, which would be the bucket", async () => {
    const store = s3Store({ ...base, endpoint: "http://127.0.0.1:9" });
    await expect(store.get("")).rejects.toThrow(TypeError);
    await expect(store.delete("")).rejects.toThrow(TypeError);
    await expect(store.presign("", {})).rejects.toThrow(TypeError);
  });
});

test.each<[string, Record<string, unknown>]>([
  ["S3 Express", { bucket: "data--use1-az4--x-s3" }],
  ["an ARN", { bucket: "arn:aws:s3:eu-west-1:123456789012:accesspoint/x" }],
  ["a multi-region access point", { bucket: "mfzwi23gnjvgw.mrap" }],
  ["an isolated region", { region: "us-iso-east-1" }],
  ["another isolated region", { region: "eu-isoe-west-1" }],
  ["the European sovereign cloud", { region: "eusc-de-east-1" }],
])("%s is unsupported without a client, and the error says so", (_, options) => {
  expect(() => s3Store({ ...base, ...options })).toThrow(
    expect.objectContaining({ code: "ERR_UNSUPPORTED", message: expect.stringContaining("as `client`") }),
  );
});

test.each(["My_Bucket", "UPPER", "ab", "a_b.c"])(
  "at an endpoint the store decides about the name %s",
  async (bucket) => {
    expect(await addressOf({ bucket, endpoint: "http://127.0.0.1:9000" })).toMatch(`http://127.0.0.1:9000/${bucket}/`);
  },
);

describe("credentials", () => {
  test("with a blank token are signed without one", async () => {
    const { url } = await s3Store({ ...base, credentials: { ...credentials, sessionToken: "" } }).presign("k", {
      operation: "delete",
    });
    expect(url).not.toContain("X-Amz-Security-Token");
  });

  test("may name their end as a text, as STS does", async () => {
    const end = new Date(Date.now() + 600_000);
    const given = { ...credentials, expiration: end.toISOString() };
    const store = s3Store({ ...base, credentials: async () => given });
    expect((await store.presign("k", { operation: "delete", expiresIn: "1h" })).expiresAt).toBe(end.getTime() / 1_000);
  });

  test("whose end is no date are ERR_CREDENTIALS", async () => {
    const given = { ...credentials, expiration: "tomorrow" };
    const store = s3Store({ ...base, credentials: async () => given });
    await expect(store.presign("k", { operation: "delete" })).rejects.toMatchObject({
      code: "ERR_CREDENTIALS",
      message: expect.stringContaining("tomorrow"),
    });
  });

  test("of a provider are asked for once, however many wait, and again five minutes before they end", async () => {
    vi.useFakeTimers({ now: 1_000_000_000_000 });
    const provider = vi.fn(async () => ({ ...credentials, expiration: new Date(Date.now() + 3_600_000) }));
    const source = new CredentialSource(provider, "s3:x");
    await Promise.all([source.get(), source.get(), source.get()]);
    vi.setSystemTime(1_000_000_000_000 + 54 * 60_000);
    await source.get();
    expect(provider).toHaveBeenCalledTimes(1);
    vi.setSystemTime(1_000_000_000_000 + 56 * 60_000);
    await Promise.all([source.get(), source.get()]);
    expect(provider).toHaveBeenCalledTimes(2);
  });

  test("that still hold are used when the provider fails to renew them", async () => {
    vi.useFakeTimers({ now: 1_000_000_000_000 });
    const old = { ...credentials, expiration: new Date(1_000_000_000_000 + 600_000) };
    const provider = vi.fn().mockResolvedValueOnce(old).mockRejectedValue(new Error("down"));
    const source = new CredentialSource(provider, "s3:x");
    await source.get();
    vi.setSystemTime(1_000_000_000_000 + 400_000);
    expect(await source.get()).toBe(old);
    vi.setSystemTime(1_000_000_000_000 + 700_000);
    await expect(source.get()).rejects.toMatchObject({ code: "ERR_CREDENTIALS" });
  });

  test("that cannot be had are an error with what to do, and are asked for again the next time", async () => {
    const provider = vi.fn().mockRejectedValueOnce(new Error("no role")).mockResolvedValue(credentials);
    const store = s3Store({ ...base, credentials: provider });
    await expect(store.presign("k", { operation: "delete" })).rejects.toMatchObject({
      code: "ERR_CREDENTIALS",
      store: "s3:my-bucket",
      message: expect.stringMatching(/no role.*AWS_ACCESS_KEY_ID/),
    });
    expect((await store.presign("k", { operation: "delete" })).url).toContain("AKIAEXAMPLE");
  });

  test("without a secret are refused at once", async () => {
    expect(() => s3Store({ ...base, credentials: { accessKeyId: "x" } as never })).toThrow(
      expect.objectContaining({ code: "ERR_CREDENTIALS" }),
    );
  });

  test("of the environment need nothing of the SDK's chain", async () => {
    vi.stubEnv("AWS_ACCESS_KEY_ID", "AKIAENV");
    vi.stubEnv("AWS_SECRET_ACCESS_KEY", "secret");
    vi.stubEnv("AWS_SESSION_TOKEN", "t/k+n");
    const store = s3Store({ bucket: "my-bucket", region: "eu-west-1" });
    const { url } = await store.presign("k", { operation: "delete" });
    expect(url).toContain("AKIAENV");
    expect(url).toContain("X-Amz-Security-Token=t%2Fk%2Bn");
  });
});

describe("a peer that is not installed is an error with the command that installs it:", () => {
  const withoutPeer = async (name: string, options: object) => {
    vi.doMock(name, () => {
      throw new Error("Cannot find package");
    });
    try {
      await expect(s3Store(options as S3StoreOptions).presign("k", { operation: "delete" })).rejects.toMatchObject({
        code: "ERR_MISSING_PEER",
        store: "s3:my-bucket",
        message: expect.stringMatching(
          "client" in options
            ? /npm install @aws-sdk\/client-s3 @aws-sdk\/s3-request-presigner$/
            : /no credentials were found: set AWS_ACCESS_KEY_ID .* pass `credentials`, .*npm install @aws-sdk\/client-s3$/,
        ),
      });
    } finally {
      vi.doUnmock(name);
    }
  };

  test("no credentials, with a region", () =>
    withoutPeer("@aws-sdk/client-s3", { bucket: "my-bucket", region: "eu-west-1" }));

  test("no credentials, and no region", () => withoutPeer("@aws-sdk/client-s3", { bucket: "my-bucket" }));

  test("a client without the presigner", () =>
    withoutPeer("@aws-sdk/s3-request-presigner", {
      bucket: "my-bucket",
      client: new S3Client({ region: "eu-west-1", credentials }),
    }));
});

test("a region that the SDK does not find either is ERR_CREDENTIALS, which no cache takes for an outage", async () => {
  const missing = { code: "ERR_CREDENTIALS", message: expect.stringMatching(/^s3Store needs a region/) };
  const store = s3Store({ bucket: "my-bucket" });
  await expect(store.presign("k", { operation: "delete" })).rejects.toMatchObject(missing);
  const cache = createCache({ store });
  const compute = vi.fn(() => 1);
  await expect(cache.set("k", 1)).rejects.toMatchObject(missing);
  await expect(cache.wrap(compute, { name: "f" })()).rejects.toMatchObject(missing);
  expect(compute).not.toHaveBeenCalled();
});

test.each(["eu west", "us-iso-east-1"])(
  "a region of the profile that leads nowhere is no outage either: %s",
  async (region) => {
    const folder = mkdtempSync(join(tmpdir(), "bucketcache-profile-"));
    try {
      writeFileSync(join(folder, region), `[default]\nregion = ${region}\n${KEYS}`);
      vi.stubEnv("AWS_SHARED_CREDENTIALS_FILE", join(folder, region));
      vi.stubEnv("AWS_REGION", undefined);
      const compute = vi.fn(() => 1);
      const wrapped = createCache({ store: s3Store({ bucket: "my-bucket" }) }).wrap(compute, { name: "f" });
      await expect(wrapped()).rejects.toMatchObject({
        code: region === "eu west" ? "ERR_CREDENTIALS" : "ERR_UNSUPPORTED",
        message: expect.stringContaining(region),
      });
      expect(compute).not.toHaveBeenCalled();
    } finally {
      rmSync(folder, { recursive: true });
    }
  },
);

test("a region that an older SDK finds and does not check is no outage either", async () => {
  vi.doMock("@aws-sdk/client-s3", () => ({
    S3Client: class {
      config = { credentials: async () => credentials, region: async () => "eu west" };
    },
  }));
  try {
    const cache = createCache({ store: s3Store({ bucket: "my-bucket" }) });
    await expect(cache.set("k", 1)).rejects.toMatchObject({
      code: "ERR_CREDENTIALS",
      message: expect.stringContaining('got "eu west"'),
    });
  } finally {
    vi.doUnmock("@aws-sdk/client-s3");
  }
});

test.each([{ region: "eu-west-1" }, { endpoint: "http://127.0.0.1" }, { credentials }, { forcePathStyle: true }])(
  "an option that a client decides about is a TypeError beside it: %o",
  (option) => {
    const client = new S3Client({ region: "eu-west-1", credentials });
    const [name] = Object.keys(option);
    expect(() => s3Store({ bucket: "my-bucket", client, ...option } as never)).toThrow(
      new TypeError(`${name} is the client's to decide: set it on the S3Client, or pass no client`),
    );
  },
);

test("credentials that have ended give no grant", async () => {
  const ended = { ...credentials, expiration: new Date(Date.now() - 1_000) };
  const store = s3Store({ bucket: "my-bucket", region: "eu-west-1", credentials: async () => ended });
  await expect(store.presign("k", { operation: "delete" })).rejects.toMatchObject({ code: "ERR_CREDENTIALS" });
});
