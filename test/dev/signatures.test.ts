import { GetObjectCommand, PutObjectCommand } from "@aws-sdk/client-s3";
import { getSignedUrl } from "@aws-sdk/s3-request-presigner";
import type { DevServer } from "bucketcache/dev";
import { beforeEach, describe, expect, test, vi } from "vitest";
import { BUCKET, call, presign, sdk, send, sign, start } from "./tools.js";

const PATH = `/${BUCKET}/key`;
const MINUTE = 60_000;

let server: DevServer;

beforeEach(async () => {
  server = await start();
  expect(await call(server, { method: "PUT", path: PATH, body: "value" })).toMatchObject({ status: 200 });
});

function ago(milliseconds: number): Date {
  return new Date(Date.now() - milliseconds);
}

describe("a request signed in its headers", () => {
  test("is served", async () => {
    const answer = await call(server, { path: PATH });
    expect(answer.status).toBe(200);
    expect(answer.body.toString()).toBe("value");
  });

  test.each([
    ["another secret", { secretAccessKey: "x" }, 403, "SignatureDoesNotMatch"],
    ["another access key", { accessKeyId: "x" }, 403, "InvalidAccessKeyId"],
    ["another region", { region: "eu-west-1" }, 400, "AuthorizationHeaderMalformed"],
    ["a clock 16 minutes slow", { date: ago(16 * MINUTE) }, 403, "RequestTimeTooSkewed"],
    ["a clock 16 minutes fast", { date: ago(-16 * MINUTE) }, 403, "RequestTimeTooSkewed"],
    ["an unsigned x-amz header", { unsigned: { "x-amz-meta-a": "1" } }, 403, "AccessDenied"],
    ["an unknown payload mode", { payload: "STREAMING" }, 400, "InvalidArgument"],
  ])("is refused with %s", async (_, options, status, code) => {
    const answer = await call(server, { path: PATH }, options);
    expect([answer.status, answer.xml("Code")]).toEqual([status, code]);
    expect(answer.body.toString()).not.toContain(server.credentials.secretAccessKey);
  });

  test("is served with a clock 14 minutes wrong", async () => {
    for (const date of [ago(14 * MINUTE), ago(-14 * MINUTE)]) {
      expect((await call(server, { path: PATH }, { date })).status).toBe(200);
    }
  });

  test("is refused when anything it signs is changed", async () => {
    const signed = sign(server, { method: "PUT", path: PATH, headers: { "content-type": "a/b" }, body: "value" });
    const headers = signed.headers ?? {};
    const authorization = headers["authorization"] ?? "";
    const changes = {
      method: { ...signed, method: "POST" },
      path: { ...signed, path: `${PATH}2` },
      query: { ...signed, query: { a: "b" } },
      "a signed header": { ...signed, headers: { ...headers, "content-type": "a/c" } },
      "a signed header left out": { ...signed, headers: { ...headers, "content-type": "" } },
      "the list of headers": {
        ...signed,
        headers: { ...headers, authorization: authorization.replace("content-type;", "") },
      },
      signature: {
        ...signed,
        headers: { ...headers, authorization: authorization.replace(/.$/, (c) => (c === "0" ? "1" : "0")) },
      },
      "a shorter signature": { ...signed, headers: { ...headers, authorization: authorization.slice(0, -1) } },
    };
    for (const [what, parts] of Object.entries(changes)) {
      const answer = await send(server, parts);
      expect([what, answer.status, answer.xml("Code")]).toEqual([what, 403, "SignatureDoesNotMatch"]);
    }
  });

  test("is refused when its body is not the one that was signed, and nothing is stored", async () => {
    const signed = sign(server, { method: "PUT", path: PATH, body: "value" });
    const answer = await send(server, { ...signed, body: "VALUE" });
    expect([answer.status, answer.xml("Code")]).toEqual([400, "XAmzContentSHA256Mismatch"]);
    expect((await call(server, { path: PATH })).body.toString()).toBe("value");
  });

  test("is refused when host is not signed, a header comes twice, or a name means something to JavaScript", async () => {
    const { headers = {}, ...parts } = sign(server, { path: PATH });
    const authorization = headers["authorization"] ?? "";
    const withNames = (names: string) => ({
      ...headers,
      authorization: authorization.replace(/(?<=SignedHeaders=)[^,]+/, names),
    });
    for (const names of [
      "x-amz-content-sha256;x-amz-date",
      "host;x-amz-content-sha256;x-amz-date;__proto__;constructor",
      "",
    ]) {
      expect((await send(server, { ...parts, headers: withNames(names) })).status).toBe(403);
    }
    const twice = { ...headers, "x-amz-date": [headers["x-amz-date"], headers["x-amz-date"]] as unknown as string };
    expect((await send(server, { ...parts, headers: twice })).status).toBe(403);
  });

  test.each([
    "AWS key:signature",
    "AWS4-HMAC-SHA256",
    "AWS4-HMAC-SHA256 Credential=a",
    "Bearer x",
    "AWS4-HMAC-SHA256 Credential=a/b, SignedHeaders=host, Signature=0",
  ])("is refused with the authorization %j", async (authorization) => {
    expect((await send(server, { path: PATH, headers: { authorization } })).status).toBe(400);
  });

  test("may carry its time in Date alone", async () => {
    expect((await call(server, { path: PATH }, { plainDate: true })).status).toBe(200);
    const slow = await call(server, { path: PATH }, { plainDate: true, date: ago(16 * MINUTE) });
    expect(slow.xml("Code")).toBe("RequestTimeTooSkewed");
    const { headers: { date: _, ...headers } = {}, ...parts } = sign(server, { path: PATH }, { plainDate: true });
    expect((await send(server, { ...parts, headers })).xml("Code")).toBe("AccessDenied");
  });
});

test("a request without a signature is refused, whatever it asks for", async () => {
  for (const [method, path] of [
    ["GET", "/"],
    ["GET", PATH],
    ["PUT", PATH],
    ["DELETE", PATH],
    ["GET", "/no-such-bucket/key"],
    ["POST", `/${BUCKET}`],
  ] as const) {
    const answer = await send(server, { method, path });
    expect([answer.status, answer.xml("Code")]).toEqual([403, "AccessDenied"]);
  }
});

describe("a presigned request", () => {
  test("made by the SDK works with fetch, for odd keys too", async () => {
    const client = sdk(server);
    const object = { Bucket: BUCKET, Key: "a b/+%ü/~'()*!&=?#" };
    const put = await getSignedUrl(client, new PutObjectCommand({ ...object, ContentType: "text/plain" }));
    expect((await fetch(put, { method: "PUT", body: "value", headers: { "content-type": "text/plain" } })).status).toBe(
      200,
    );
    const read = await fetch(await getSignedUrl(client, new GetObjectCommand(object)));
    expect([read.status, await read.text()]).toEqual([200, "value"]);
  });

  test("made by the SDK with its defaults works, though its URL holds the checksum of no bytes", async () => {
    const client = sdk(server);
    const put = await getSignedUrl(
      client,
      new PutObjectCommand({ Bucket: BUCKET, Key: "other", Metadata: { a: "1" } }),
    );
    expect(put).toContain("x-amz-checksum-crc32=AAAAAA");
    expect((await fetch(put, { method: "PUT", body: "value" })).status).toBe(200);
    const { Body, Metadata } = await client.send(new GetObjectCommand({ Bucket: BUCKET, Key: "other" }));
    expect([await Body?.transformToString(), Metadata]).toEqual(["value", { a: "1" }]);
  });

  test("lasts as long as it says, to the second", async () => {
    vi.useFakeTimers({ toFake: ["Date"] });
    try {
      const signed = presign(server, { path: PATH }, { expires: 60 });
      vi.setSystemTime(new Date(Math.floor(Date.now() / 1000) * 1000 + 60_000));
      expect((await send(server, signed)).status).toBe(200);
      vi.setSystemTime(new Date(Date.now() + 1000));
      const late = await send(server, signed);
      expect([late.status, late.xml("Code"), late.xml("Message")]).toEqual([
        403,
        "AccessDenied",
        "Request has expired",
      ]);
    } finally {
      vi.useRealTimers();
    }
  });

  test("is not valid before its time", async () => {
    expect((await send(server, presign(server, { path: PATH }, { date: ago(-14 * MINUTE) }))).status).toBe(200);
    const early = await send(server, presign(server, { path: PATH }, { date: ago(-16 * MINUTE) }));
    expect([early.status, early.xml("Code"), early.xml("Message")]).toEqual([
      403,
      "AccessDenied",
      "Request is not valid yet",
    ]);
  });

  test("is refused when it is changed", async () => {
    const signed = presign(server, { path: PATH, headers: { "x-amz-meta-a": "1" } });
    const changes = {
      method: { ...signed, method: "DELETE" },
      key: { ...signed, path: `/${BUCKET}/other` },
      "a longer life": { ...signed, query: { ...signed.query, "X-Amz-Expires": "600" } },
      "a parameter more": { ...signed, query: { ...signed.query, "response-content-type": "text/html" } },
      "a signed header": { ...signed, headers: { ...signed.headers, "x-amz-meta-a": "2" } },
    };
    for (const [what, parts] of Object.entries(changes)) {
      const answer = await send(server, parts);
      expect([what, answer.status, answer.xml("Code")]).toEqual([what, 403, "SignatureDoesNotMatch"]);
    }
    expect((await call(server, { path: PATH })).status).toBe(200);
  });

  test("takes no x-amz header that was not signed: no copy of another object, no metadata, no other checksum", async () => {
    for (const [name, value] of [
      ["x-amz-copy-source", `/${BUCKET}/key`],
      ["x-amz-meta-expires_at", "1"],
      ["x-amz-checksum-crc32", "AAAAAA=="],
      ["x-amz-content-sha256", "UNSIGNED-PAYLOAD"],
    ] as const) {
      const signed = presign(server, { method: "PUT", path: `/${BUCKET}/target` }, { unsigned: { [name]: value } });
      const answer = await send(server, signed);
      expect([answer.status, answer.xml("Code"), answer.xml("HeadersNotSigned")]).toEqual([403, "AccessDenied", name]);
      expect(answer.xml("Message")).toBe("There were headers present in the request which were not signed");
    }
    expect((await call(server, { path: `/${BUCKET}/target` })).status).toBe(404);
  });

  test("takes plain headers that were not signed, and a signed copy condition that no copy uses", async () => {
    const path = `/${BUCKET}/target`;
    const guarded = presign(
      server,
      { method: "PUT", path, headers: { "x-amz-copy-source-if-match": "none" }, body: "v" },
      {
        unsigned: { "content-disposition": "inline" },
      },
    );
    expect((await send(server, guarded)).status).toBe(200);
    expect((await call(server, { path })).headers["content-disposition"]).toBe("inline");
  });

  test("enforces every header that it signs: length, type, metadata, condition, checksum", async () => {
    const path = `/${BUCKET}/target`;
    const headers = { "content-length": "5", "content-type": "a/b", "x-amz-meta-a": "1", "if-none-match": "*" };
    const signed = presign(server, { method: "PUT", path, headers, body: "value" });
    for (const [name, value] of [
      ["content-length", "6"],
      ["content-type", "a/c"],
      ["x-amz-meta-a", "2"],
      ["if-none-match", ""],
    ] as const) {
      const changed = {
        ...signed,
        headers: { ...signed.headers, [name]: value },
        body: name === "content-length" ? "values" : "value",
      };
      expect([name, (await send(server, changed)).status]).toEqual([name, 403]);
    }
    expect((await send(server, signed)).status).toBe(200);
    expect((await send(server, signed)).status).toBe(412);
  });

  test.each([
    ["X-Amz-Expires", "604801"],
    ["X-Amz-Expires", "-1"],
    ["X-Amz-Expires", "soon"],
    ["X-Amz-Expires", undefined],
    ["X-Amz-Date", "yesterday"],
    ["X-Amz-Algorithm", "AWS4-HMAC-SHA1"],
    ["X-Amz-Algorithm", undefined],
    ["X-Amz-Credential", "bucketcache"],
    ["X-Amz-Credential", "bucketcache/20200101/us-east-1/s3/aws4_request"],
    ["X-Amz-Signature", undefined],
  ])("is refused with %s %j", async (name, value) => {
    const signed = presign(server, { path: PATH });
    const query = { ...signed.query };
    if (value === undefined) delete query[name];
    else query[name] = value;
    const answer = await send(server, { ...signed, query });
    expect([answer.status, answer.xml("Code")]).toEqual([400, "AuthorizationQueryParametersError"]);
  });

  test("is refused with an authorization header beside it, with a token, and in the old form", async () => {
    const signed = presign(server, { path: PATH });
    const both = await send(server, { ...signed, headers: { ...signed.headers, authorization: "x" } });
    expect([both.status, both.xml("Code")]).toEqual([400, "InvalidArgument"]);
    const token = await send(server, presign(server, { path: PATH, query: { "X-Amz-Security-Token": "x" } }));
    expect([token.status, token.xml("Code")]).toEqual([400, "InvalidToken"]);
    const old = await send(server, { path: PATH, query: { AWSAccessKeyId: "a", Expires: "1", Signature: "b" } });
    expect([old.status, old.xml("Code")]).toEqual([400, "InvalidRequest"]);
  });
});
