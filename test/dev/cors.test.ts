import { DeleteBucketCorsCommand, GetBucketCorsCommand, PutBucketCorsCommand, type CORSRule } from "@aws-sdk/client-s3";
import type { DevServer } from "bucketcache/dev";
import { beforeEach, expect, test } from "vitest";
import { BUCKET, call, presign, sdk, send, start, temporaryFolder, type Answer } from "./tools.js";

const PATH = `/${BUCKET}/key`;
const PAGE = "https://app.example.com";

let server: DevServer;

beforeEach(async () => {
  server = await start();
  await call(server, { method: "PUT", path: PATH, body: "value", headers: { "x-amz-meta-entry": "1" } });
});

async function configure(...CORSRules: CORSRule[]): Promise<void> {
  await sdk(server).send(new PutBucketCorsCommand({ Bucket: BUCKET, CORSConfiguration: { CORSRules } }));
}

function corsOf({ headers }: Answer): Record<string, unknown> {
  return Object.fromEntries(Object.entries(headers).filter(([name]) => name.startsWith("access-control-")));
}

function preflight(method: string, headers?: string, origin = PAGE): Promise<Answer> {
  return send(server, {
    method: "OPTIONS",
    path: PATH,
    headers: {
      origin,
      "access-control-request-method": method,
      ...(headers === undefined ? {} : { "access-control-request-headers": headers }),
    },
  });
}

test("without a rule there is no CORS header at all, and every preflight is refused", async () => {
  const read = await call(server, { path: PATH, headers: { origin: PAGE } });
  expect(read.status).toBe(200);
  expect(corsOf(read)).toEqual({});
  const answer = await preflight("GET");
  expect([answer.status, answer.xml("Code"), corsOf(answer)]).toEqual([403, "AccessForbidden", {}]);
});

test("with a rule, answers have the headers of the rule and expose exactly what it names", async () => {
  await configure({
    AllowedOrigins: [PAGE],
    AllowedMethods: ["GET"],
    ExposeHeaders: ["x-amz-meta-entry"],
    MaxAgeSeconds: 60,
  });
  const read = await send(server, presign(server, { path: PATH }, { unsigned: { origin: PAGE } }));
  expect(corsOf(read)).toEqual({
    "access-control-allow-origin": PAGE,
    "access-control-allow-methods": "GET",
    "access-control-allow-credentials": "true",
    "access-control-expose-headers": "x-amz-meta-entry",
    "access-control-max-age": "60",
  });
  expect(read.headers["vary"]).toBe("Origin, Access-Control-Request-Headers, Access-Control-Request-Method");
  // Also errors, which a page could not read otherwise.
  const absent = await call(server, { path: `${PATH}2`, headers: { origin: PAGE } });
  expect([absent.status, corsOf(absent)["access-control-allow-origin"]]).toEqual([404, PAGE]);
  const forbidden = await send(server, { path: PATH, headers: { origin: PAGE } });
  expect([forbidden.status, corsOf(forbidden)["access-control-allow-origin"]]).toEqual([403, PAGE]);
  // Nobody else.
  expect(corsOf(await call(server, { path: PATH, headers: { origin: "https://example.com" } }))).toEqual({});
  expect(corsOf(await call(server, { method: "DELETE", path: PATH, headers: { origin: PAGE } }))).toEqual({});
  expect(corsOf(await call(server, { path: PATH }))).toEqual({});
});

test("a rule that exposes nothing exposes nothing", async () => {
  await configure({ AllowedOrigins: ["*"], AllowedMethods: ["GET"] });
  const read = await call(server, { path: PATH, headers: { origin: PAGE } });
  expect(corsOf(read)).toEqual({ "access-control-allow-origin": "*", "access-control-allow-methods": "GET" });
});

test("a preflight is answered by the first rule that fits origin, method and every header", async () => {
  await configure(
    { AllowedOrigins: [PAGE], AllowedMethods: ["GET"], AllowedHeaders: ["range"] },
    {
      AllowedOrigins: ["https://*.example.com"],
      AllowedMethods: ["GET", "PUT"],
      AllowedHeaders: ["X-Amz-Meta-*", "content-type"],
      MaxAgeSeconds: 5,
    },
  );
  for (const [method, headers, allowed] of [
    ["GET", "Range", "GET"],
    ["GET", undefined, "GET"],
    ["GET", "content-type", "GET, PUT"],
    ["PUT", "content-type, x-amz-meta-entry", "GET, PUT"],
    ["PUT", "content-type,x-amz-date", undefined],
    ["DELETE", undefined, undefined],
    ["get", undefined, undefined],
  ] as const) {
    const answer = await preflight(method, headers);
    expect([method, headers, answer.status, answer.headers["access-control-allow-methods"]]).toEqual([
      method,
      headers,
      allowed === undefined ? 403 : 200,
      allowed,
    ]);
    const allowedHeaders = answer.headers["access-control-allow-headers"];
    if (allowed !== undefined) expect(allowedHeaders).toBe(headers?.toLowerCase());
  }
  expect((await preflight("PUT", undefined, "https://example.com")).status).toBe(403);
  expect((await preflight("PUT", undefined, "https://.example.com.evil.org")).status).toBe(403);
});

test("a preflight that lacks what it is about is refused", async () => {
  await configure({ AllowedOrigins: ["*"], AllowedMethods: ["GET"] });
  for (const headers of [{}, { origin: PAGE }, { "access-control-request-method": "GET" }] as Record<
    string,
    string
  >[]) {
    expect((await send(server, { method: "OPTIONS", path: PATH, headers })).status).toBe(400);
  }
});

test("rules are given back as they were set, survive a restart, and can be deleted", async () => {
  const directory = temporaryFolder();
  const rule = {
    ID: "one",
    AllowedOrigins: ["*"],
    AllowedMethods: ["GET"],
    AllowedHeaders: ["*"],
    ExposeHeaders: ["ETag"],
    MaxAgeSeconds: 1,
  };
  server = await start({ directory });
  await expect(sdk(server).send(new GetBucketCorsCommand({ Bucket: BUCKET }))).rejects.toMatchObject({
    name: "NoSuchCORSConfiguration",
  });
  await configure(rule);
  await server.close();
  server = await start({ directory });
  const client = sdk(server);
  expect((await client.send(new GetBucketCorsCommand({ Bucket: BUCKET }))).CORSRules).toEqual([rule]);
  await client.send(new DeleteBucketCorsCommand({ Bucket: BUCKET }));
  expect((await preflight("GET")).status).toBe(403);
});

test.each([
  [{ AllowedOrigins: ["*"], AllowedMethods: ["PATCH"] }, "InvalidRequest"],
  [{ AllowedOrigins: ["*"], AllowedMethods: ["GET"], ExposeHeaders: ["*"] }, "InvalidRequest"],
  [{ AllowedOrigins: ["https://*.*"], AllowedMethods: ["GET"] }, "InvalidRequest"],
  [{ AllowedOrigins: ["*"], AllowedMethods: ["GET"], AllowedHeaders: ["*-*"] }, "InvalidRequest"],
  [{ AllowedOrigins: [], AllowedMethods: ["GET"] }, "MalformedXML"],
])("the rule %j is refused, as on S3", async (rule, name) => {
  await expect(configure(rule)).rejects.toMatchObject({ name, $metadata: { httpStatusCode: 400 } });
});
