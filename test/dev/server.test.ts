import { once } from "node:events";
import { request } from "node:http";
import { connect } from "node:net";
import { networkInterfaces } from "node:os";
import {
  CreateBucketCommand,
  DeleteBucketCommand,
  GetBucketLocationCommand,
  GetBucketVersioningCommand,
  GetObjectCommand,
  HeadBucketCommand,
  ListBucketsCommand,
  ListObjectsV2Command,
  PutBucketTaggingCommand,
  PutObjectCommand,
  S3Client,
} from "@aws-sdk/client-s3";
import { startDevServer, type DevServer, type DevServerOptions } from "bucketcache/dev";
import { describe, expect, onTestFinished, test } from "vitest";
import { BUCKET, call, sdk, send, sign, start } from "./tools.js";

test("a server has one bucket, a free port and a secret of its own unless it is told otherwise", async () => {
  const [one, other] = await Promise.all([start(), start()]);
  expect(one.endpoint).toMatch(/^http:\/\/127\.0\.0\.1:\d+$/);
  expect(one.endpoint).not.toBe(other.endpoint);
  expect(one.credentials.secretAccessKey).not.toBe(other.credentials.secretAccessKey);
  const { Buckets } = await sdk(one).send(new ListBucketsCommand({}));
  expect(Buckets?.map(({ Name }) => Name)).toEqual([BUCKET]);
});

test("a server has the credentials and buckets that it is given", async () => {
  const given = { accessKeyId: "me", secretAccessKey: "mine", buckets: ["bbb", "aaa"] };
  const server = await start(given);
  expect(server.credentials).toEqual({ accessKeyId: "me", secretAccessKey: "mine" });
  const { Buckets } = await sdk(server).send(new ListBucketsCommand({}));
  expect(Buckets?.map(({ Name }) => Name)).toEqual(["aaa", "bbb"]);
});

test("what it resolves to spreads into the options of a client", async () => {
  const server = await start();
  const client = new S3Client({ ...server });
  onTestFinished(() => client.destroy());
  await client.send(new HeadBucketCommand({ Bucket: BUCKET }));
});

test.each([
  [{ port: 65_536 }, /port/],
  [{ port: 1.5 }, /port/],
  [{ port: "80" }, /port/],
  [{ directory: "" }, /directory/],
  [{ accessKeyId: "a/b" }, /accessKeyId/],
  [{ accessKeyId: "" }, /accessKeyId/],
  [{ secretAccessKey: "" }, /secretAccessKey/],
  [{ buckets: "name" }, /buckets/],
  [{ buckets: ["UPPER"] }, /UPPER/],
  [{ buckets: ["ab"] }, /ab/],
  [{ buckets: ["../x"] }, /bucket/],
  [{ buckets: ["192.168.0.1"] }, /192/],
  [{ buckets: ["a..b"] }, /a\.\.b/],
])("the options %j are a TypeError", async (options, message) => {
  await expect(startDevServer(options as DevServerOptions)).rejects.toThrow(TypeError);
  await expect(startDevServer(options as DevServerOptions)).rejects.toThrow(message);
});

test("a port that is taken is an error that names it", async () => {
  const port = Number(new URL((await start()).endpoint).port);
  await expect(startDevServer({ port })).rejects.toMatchObject({
    code: "ERR_UNAVAILABLE",
    message: expect.stringContaining(`127.0.0.1:${port}`),
  });
});

test("a server listens on 127.0.0.1 and on no other address", async () => {
  const port = Number(new URL((await start()).endpoint).port);
  const others = Object.values(networkInterfaces())
    .flatMap((addresses) => addresses ?? [])
    .map(({ address, scopeid }) => (scopeid ? `${address}%${scopeid}` : address))
    .filter((address) => address !== "127.0.0.1");
  // All of 127.0.0.0/8 is this machine on Linux, and only there.
  if (process.platform === "linux") others.push("127.0.0.2");
  for (const host of others) {
    const outcome = await new Promise((resolve) => {
      const socket = connect(port, host);
      socket.on("connect", () => resolve("connected"));
      socket.on("error", () => resolve("refused"));
      onTestFinished(() => void socket.destroy());
    });
    expect([host, outcome]).toEqual([host, "refused"]);
  }
});

test("close ends idle connections and requests under way, and may be called again", async () => {
  const server = await startDevServer();
  const { hostname, port } = new URL(server.endpoint);
  const idle = connect(Number(port), hostname);
  const busy = connect(Number(port), hostname);
  const ended = Promise.all(
    [idle, busy].map((socket) => new Promise((resolve) => socket.on("close", resolve).on("error", () => {}))),
  );
  const { headers = {} } = sign(server, { method: "PUT", path: `/${BUCKET}/key` }, { payload: "UNSIGNED-PAYLOAD" });
  const lines = Object.entries({ ...headers, "content-length": "100", expect: "100-continue" }).map(
    ([name, value]) => `${name}: ${value}\r\n`,
  );
  busy.write(`PUT /${BUCKET}/key HTTP/1.1\r\n${lines.join("")}\r\n`);
  // The server asks for the body: the request is under way.
  await new Promise((resolve) => busy.once("data", resolve));
  await server.close();
  await server.close();
  await ended;
  await expect(send(server, { path: "/" })).rejects.toThrow(/ECONNREFUSED/);
});

test("a refused upload gets its answer while its body is still on its way", async () => {
  const server = await start();
  const client = sdk(server, { credentials: { ...server.credentials, secretAccessKey: "wrong" } });
  const put = new PutObjectCommand({ Bucket: BUCKET, Key: "key", Body: Buffer.alloc(20_000_000) });
  for (let round = 0; round < 3; round++) {
    await expect(client.send(put)).rejects.toMatchObject({ name: "SignatureDoesNotMatch" });
  }
});

test("an upload into a bucket that is deleted meanwhile is refused", async () => {
  const server = await start();
  const parts = sign(server, { method: "PUT", path: `/${BUCKET}/key` }, { payload: "UNSIGNED-PAYLOAD" });
  const { hostname, port } = new URL(server.endpoint);
  const headers = { ...parts.headers, "content-length": "5", expect: "100-continue" };
  const upload = request({ hostname, port, method: "PUT", path: parts.path, headers });
  const status = new Promise((resolve, reject) => {
    upload.on("response", (response) => resolve(response.resume().statusCode)).on("error", reject);
  });
  upload.flushHeaders();
  await once(upload, "continue");
  expect((await call(server, { method: "DELETE", path: `/${BUCKET}` })).status).toBe(204);
  upload.end("value");
  expect(await status).toBe(404);
});

describe("buckets", () => {
  async function client(): Promise<S3Client> {
    return sdk(await start());
  }

  test("are created, found, located and deleted", async () => {
    const s3 = await client();
    const Bucket = "my.new-bucket";
    await expect(s3.send(new HeadBucketCommand({ Bucket }))).rejects.toMatchObject({ name: "NotFound" });
    await s3.send(new CreateBucketCommand({ Bucket }));
    // Once more is no error in us-east-1, and keeps what is there.
    await s3.send(new PutObjectCommand({ Bucket, Key: "key", Body: "value" }));
    await s3.send(new CreateBucketCommand({ Bucket }));
    expect((await s3.send(new HeadBucketCommand({ Bucket }))).BucketRegion).toBe("us-east-1");
    expect((await s3.send(new GetBucketLocationCommand({ Bucket }))).LocationConstraint).toBeFalsy();
    expect((await s3.send(new GetBucketVersioningCommand({ Bucket }))).Status).toBeUndefined();
    await expect(s3.send(new DeleteBucketCommand({ Bucket }))).rejects.toMatchObject({ name: "BucketNotEmpty" });
  });

  test("that are empty are deleted", async () => {
    const s3 = await client();
    await s3.send(new DeleteBucketCommand({ Bucket: BUCKET }));
    for (const command of [
      new ListObjectsV2Command({ Bucket: BUCKET }),
      new GetObjectCommand({ Bucket: BUCKET, Key: "key" }),
      new PutObjectCommand({ Bucket: BUCKET, Key: "key", Body: "value" }),
      new DeleteBucketCommand({ Bucket: BUCKET }),
    ]) {
      await expect(s3.send(command as ListObjectsV2Command)).rejects.toMatchObject({ name: "NoSuchBucket" });
    }
  });

  test("have names that S3 allows, in the one region there is", async () => {
    const server = await start();
    const answer = await call(server, { method: "PUT", path: "/Not_A_Bucket" });
    expect([answer.status, answer.xml("Code")]).toEqual([400, "InvalidBucketName"]);
    const create = (location: string) =>
      call(server, {
        method: "PUT",
        path: "/abc",
        body: `<CreateBucketConfiguration><LocationConstraint>${location}</LocationConstraint></CreateBucketConfiguration>`,
      });
    expect((await create("eu-west-1")).xml("Code")).toBe("IllegalLocationConstraintException");
    expect((await create("us-east-1")).status).toBe(200);
  });

  test("may stand in the host name", async () => {
    const server = await start();
    const host = `${BUCKET}.localhost:${new URL(server.endpoint).port}`;
    for (const path of ["/key", "//a/../b", `/${BUCKET}/key`]) {
      expect((await call(server, { method: "PUT", path, headers: { host }, body: path })).status).toBe(200);
      expect((await call(server, { path, headers: { host } })).body.toString()).toBe(path);
      expect((await call(server, { path: `/${BUCKET}${path}` })).body.toString()).toBe(path);
    }
    const list = await call(server, { path: "/", headers: { host }, query: { "list-type": "2" } });
    expect(list.xml("KeyCount")).toBe("3");
  });
});

describe("what is not there", () => {
  test("is said so: operations, methods, versions", async () => {
    const server = await start();
    const path = `/${BUCKET}/key`;
    await call(server, { method: "PUT", path, body: "value" });
    await expect(
      sdk(server).send(new PutBucketTaggingCommand({ Bucket: BUCKET, Tagging: { TagSet: [] } })),
    ).rejects.toMatchObject({ name: "NotImplemented", $metadata: { httpStatusCode: 501 } });
    for (const [parts, status, code] of [
      [{ path, query: { acl: "" } }, 501, "NotImplemented"],
      [{ method: "POST", path }, 501, "NotImplemented"],
      [{ method: "PATCH", path }, 405, "MethodNotAllowed"],
      [{ method: "DELETE", path: "/" }, 405, "MethodNotAllowed"],
      [{ path, query: { versionId: "abc" } }, 400, "InvalidArgument"],
      [{ path, query: { versionId: "null" } }, 200, undefined],
    ] as const) {
      const answer = await call(server, parts);
      expect([parts, answer.status, answer.xml("Code")]).toEqual([parts, status, code]);
    }
  });

  test("an error tells what was asked for and has an id", async () => {
    const server: DevServer = await start();
    const answer = await call(server, { path: `/${BUCKET}/a%20%3C` });
    expect([answer.status, answer.xml("Code"), answer.xml("Key")]).toEqual([404, "NoSuchKey", "a &lt;"]);
    expect(answer.xml("RequestId")).toBe(answer.headers["x-amz-request-id"]);
    expect(answer.headers["content-type"]).toBe("application/xml");
    const head = await call(server, { method: "HEAD", path: `/${BUCKET}/absent` });
    expect([head.status, head.body.length]).toEqual([404, 0]);
  });
});
