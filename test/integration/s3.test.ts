import { execFile } from "node:child_process";
import { mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import {
  DeleteObjectCommand,
  ListObjectVersionsCommand,
  PutBucketVersioningCommand,
  PutObjectCommand,
} from "@aws-sdk/client-s3";
import { s3Store } from "bucketcache/s3";
import { storeConformance } from "bucketcache/testing";
import { build } from "esbuild";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { makeBucket, type TestBucket } from "../support/bucket.js";
import { startProxy } from "../support/proxy.js";
import { read, s3Promises } from "../support/s3-promises.js";
import { SIGNERS, signedBy } from "../support/signers.js";

/** As long as a busy machine may take. */
const PATIENT = { timeout: 50_000 };

const FIELDS = { contentType: "text/plain", metadata: {} };
const bytes = (text: string) => new TextEncoder().encode(text);

describe.each(SIGNERS)("s3Store on MinIO, signed for by %s", (_, signs) => {
  s3Promises(async () => {
    const { options, remove } = await makeBucket();
    return { ...options, stop: remove };
  }, signs);

  describe("as a store", () => {
    const made: TestBucket[] = [];
    afterAll(() => Promise.all(made.map(({ remove }) => remove())));

    storeConformance({ describe, test }, async () => {
      const one = await makeBucket();
      made.push(one);
      return s3Store(signedBy(signs, one.options));
    });
  });
});

describe("s3Store on MinIO", () => {
  let bucket: TestBucket;
  beforeAll(async () => {
    bucket = await makeBucket();
  });
  afterAll(async () => bucket.remove());

  test.each([
    ["slow by 20 minutes", -20 * 60_000],
    ["slow by two hours", -2 * 3_600_000],
    ["fast by two hours", 2 * 3_600_000],
  ])("a clock that is %s changes nothing", async (_, offset) => {
    const real = Date.now();
    vi.useFakeTimers({ toFake: ["Date"], now: real + offset });
    try {
      const store = s3Store(bucket.options);
      await store.put("clock", bytes("hello"), FIELDS);
      expect(await read(store, "clock")).toBe("hello");
      const head = await store.head("clock");
      expect(Math.abs(Number(head?.now) - real)).toBeLessThan(60_000);
      expect(await s3Store(bucket.options).head("clock")).toMatchObject({ size: 5 });
    } finally {
      vi.useRealTimers();
    }
  });

  test("on a versioned bucket a delete by version removes what was read, and nothing newer", async () => {
    const versioned = await makeBucket();
    const { client, options } = versioned;
    const Bucket = versioned.bucket;
    await client.send(new PutBucketVersioningCommand({ Bucket, VersioningConfiguration: { Status: "Enabled" } }));
    const store = s3Store(options);
    await store.put("k", bytes("old"), FIELDS);
    const old = await store.head("k");
    expect(old?.versionId).toMatch(/./);
    await client.send(new PutObjectCommand({ Bucket, Key: "k", Body: "new" }));
    await store.delete("k", { versionId: old!.versionId });
    expect(await read(store, "k")).toBe("new");
    const { Versions = [] } = await client.send(new ListObjectVersionsCommand({ Bucket }));
    expect(Versions.map(({ VersionId }) => VersionId)).not.toContain(old!.versionId);
    for (const { VersionId } of Versions) await client.send(new DeleteObjectCommand({ Bucket, Key: "k", VersionId }));
    await versioned.remove();
  });

  test("10,000 refused, absent or cancelled reads leave no socket open", async () => {
    const proxy = await startProxy(bucket.options.endpoint);
    const store = s3Store({ ...bucket.options, endpoint: proxy.endpoint });
    const { credentials } = bucket.options;
    const refused = s3Store({
      ...bucket.options,
      endpoint: proxy.endpoint,
      credentials: { ...credentials, secretAccessKey: "wrong-secret" },
    });
    await store.put("small", new Uint8Array(1_000), FIELDS);
    await store.put("large", new Uint8Array(400_000), FIELDS);
    const cancel = async (key: string) => {
      const object = await store.get(key);
      if (typeof object === "object") await object.body.cancel();
    };
    const reads = [
      () => refused.get("small").catch(() => {}),
      () => store.get("absent"),
      () => cancel("small"),
      () => cancel("small"),
      () => cancel("large"),
    ];
    let left = 10_000;
    await Promise.all(
      Array.from({ length: 20 }, async () => {
        while (left-- > 0) await reads[left % reads.length]!();
      }),
    );
    // 20 at once by each of two stores.
    await vi.waitFor(() => expect(proxy.connections).toBeLessThanOrEqual(40), PATIENT);
    await Promise.all([store.close!(), refused.close!()]);
    await vi.waitFor(() => expect(proxy.connections).toBe(0), PATIENT);
    await proxy.close();
  });

  describe("a process of its own", () => {
    const folder = join(import.meta.dirname, "../../node_modules/.cache/bucketcache-test");
    const script = join(folder, `reader-${process.pid}.mjs`);
    const run = promisify(execFile);

    beforeAll(async () => {
      await mkdir(folder, { recursive: true });
      await build({
        stdin: {
          contents: `
            import { createRequire } from "node:module";
            import { s3Store } from "./src/stores/s3.js";
            const store = s3Store(JSON.parse(process.argv[2]));
            const object = await store.get("exists");
            const part = await object.body.getReader().read();
            await store.put("written", new Uint8Array(3), { contentType: "text/plain", metadata: {} });
            for await (const _ of store.list("")) break;
            const loaded = Object.keys(createRequire(import.meta.url).cache);
            console.log(JSON.stringify({ bytes: part.value.byteLength, client: loaded.some((file) => file.includes("client-s3")) }));`,
          resolveDir: join(import.meta.dirname, "../.."),
        },
        bundle: true,
        format: "esm",
        platform: "node",
        packages: "external",
        outfile: script,
      });
    });
    afterAll(() => rm(script, { force: true }));

    test("that reads, writes and lists never loads client-s3, and ends by itself", async () => {
      const store = s3Store(bucket.options);
      await store.put("exists", bytes("hello"), FIELDS);
      const { stdout } = await run(process.execPath, [script, JSON.stringify(bucket.options)], { timeout: 30_000 });
      expect(JSON.parse(stdout)).toEqual({ bytes: 5, client: false });
    });

    test("takes region, endpoint and credentials from the environment", async () => {
      const { endpoint, credentials } = bucket.options;
      const env = {
        ...process.env,
        AWS_ENDPOINT_URL_S3: endpoint,
        AWS_ACCESS_KEY_ID: credentials.accessKeyId,
        AWS_SECRET_ACCESS_KEY: credentials.secretAccessKey,
      };
      const options = JSON.stringify({ bucket: bucket.bucket });
      const { stdout } = await run(process.execPath, [script, options], { timeout: 30_000, env });
      expect(JSON.parse(stdout)).toMatchObject({ bytes: 5 });
    });

    test("finds credentials by the SDK's chain when the environment has none", async () => {
      const { endpoint, credentials } = bucket.options;
      const file = join(folder, `credentials-${process.pid}`);
      const { writeFile } = await import("node:fs/promises");
      await writeFile(
        file,
        `[tester]\naws_access_key_id=${credentials.accessKeyId}\naws_secret_access_key=${credentials.secretAccessKey}\n`,
      );
      const { AWS_ACCESS_KEY_ID: _, AWS_SECRET_ACCESS_KEY: __, ...env } = process.env;
      const options = JSON.stringify({ bucket: bucket.bucket, endpoint });
      const { stdout } = await run(process.execPath, [script, options], {
        timeout: 30_000,
        env: { ...env, AWS_SHARED_CREDENTIALS_FILE: file, AWS_PROFILE: "tester" },
      });
      expect(JSON.parse(stdout)).toMatchObject({ bytes: 5 });
      await rm(file);
    });
  });
});
