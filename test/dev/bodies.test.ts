import { createHash, createHmac } from "node:crypto";
import { connect } from "node:net";
import { Readable } from "node:stream";
import { GetObjectCommand, HeadObjectCommand, PutObjectCommand, type ChecksumAlgorithm } from "@aws-sdk/client-s3";
import type { DevServer } from "bucketcache/dev";
import fc from "fast-check";
import { beforeEach, describe, expect, test } from "vitest";
import { combineCrc, createChecksum } from "../../src/dev/checksums.js";
import { BACKENDS, BUCKET, call, sdk, send, sha256, sign, start, type Answer } from "./tools.js";

const PATH = `/${BUCKET}/key`;

// The check values of the catalogue of parametrised CRC algorithms: the checksum of the digits 1 to 9.
const CHECK = { crc32: "cbf43926", crc32c: "e3069283", crc64nvme: "ae8b14860a799888" } as const;
const CRCS = Object.keys(CHECK) as (keyof typeof CHECK)[];

function crc(algorithm: keyof typeof CHECK, ...chunks: Uint8Array[]): string {
  const checksum = createChecksum(algorithm);
  for (const chunk of chunks) checksum.update(chunk);
  return checksum.digest();
}

describe.each(CRCS)("%s", (algorithm) => {
  test("has its published check value", () => {
    expect(Buffer.from(crc(algorithm, Buffer.from("123456789")), "base64").toString("hex")).toBe(CHECK[algorithm]);
  });

  test("does not depend on how the bytes are cut, and is made from those of the parts", () => {
    const bytes = fc.uint8Array({ maxLength: 200 });
    fc.assert(
      fc.property(fc.array(bytes, { minLength: 1, maxLength: 4 }), (parts) => {
        const whole = crc(algorithm, Buffer.concat(parts));
        expect(crc(algorithm, ...parts)).toBe(whole);
        const sums = parts.map((part) => ({ value: crc(algorithm, part), size: part.length }));
        expect(combineCrc(algorithm, sums)).toBe(whole);
      }),
    );
  });
});

describe.each(BACKENDS)("a body, kept in $kept,", ({ options }) => {
  let server: DevServer;

  beforeEach(async () => {
    server = await start(options());
  });

  async function expectNothing(): Promise<void> {
    expect((await call(server, { path: PATH })).status).toBe(404);
  }

  test.each(["CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256"] as ChecksumAlgorithm[])(
    "of the SDK with %s, in a header and in a trailer, comes back verified",
    async (ChecksumAlgorithm) => {
      const client = sdk(server);
      const bytes = Buffer.alloc(300_000, "0123456789abcde");
      const bodies = [bytes, Readable.from([bytes.subarray(0, 200_000), bytes.subarray(200_000)])];
      for (const Body of bodies) {
        const object = { Bucket: BUCKET, Key: "key" };
        const put = await client.send(
          new PutObjectCommand({ ...object, Body, ContentLength: bytes.length, ChecksumAlgorithm }),
        );
        const head = await client.send(new HeadObjectCommand({ ...object, ChecksumMode: "ENABLED" }));
        const name = `Checksum${ChecksumAlgorithm}` as const;
        expect(head).toMatchObject({
          [name]: (put as unknown as Record<string, string>)[name],
          ChecksumType: "FULL_OBJECT",
        });
        // The stored encoding is the object's, not that of the request.
        expect(head.ContentEncoding).toBeUndefined();
        const read = await client.send(new GetObjectCommand({ ...object, ChecksumMode: "ENABLED" }));
        expect(Buffer.from((await read.Body?.transformToByteArray()) ?? []).equals(bytes)).toBe(true);
      }
    },
  );

  test("without a length is refused", async () => {
    const signed = sign(server, { method: "PUT", path: PATH }, { payload: "UNSIGNED-PAYLOAD" });
    const answer = await send(server, {
      ...signed,
      headers: { ...signed.headers, "transfer-encoding": "chunked" },
      body: "v",
    });
    expect([answer.status, answer.xml("Code")]).toEqual([411, "MissingContentLength"]);
    await expectNothing();
  });

  test.each([
    ["content-md5", "not base64", "InvalidDigest"],
    ["content-md5", "AAAA", "InvalidDigest"],
    ["content-md5", createHash("md5").update("other").digest("base64"), "BadDigest"],
    ["x-amz-checksum-crc32", "AAAA", "InvalidRequest"],
    ["x-amz-checksum-crc32", "AAAAAA==", "BadDigest"],
    ["x-amz-checksum-crc32c", "AAAAAA==", "BadDigest"],
    ["x-amz-checksum-crc64nvme", "AAAAAAAAAAA=", "BadDigest"],
    ["x-amz-checksum-sha1", createHash("sha1").update("other").digest("base64"), "BadDigest"],
    ["x-amz-checksum-sha256", createHash("sha256").update("other").digest("base64"), "BadDigest"],
  ])("with a wrong %s (%s) is refused and not stored", async (name, value, code) => {
    const answer = await call(server, { method: "PUT", path: PATH, headers: { [name]: value }, body: "value" });
    expect([answer.status, answer.xml("Code")]).toEqual([400, code]);
    await expectNothing();
  });

  test("with two checksums is refused", async () => {
    const headers = { "x-amz-checksum-crc32": "AAAAAA==", "x-amz-checksum-crc32c": "AAAAAA==" };
    expect((await call(server, { method: "PUT", path: PATH, headers })).xml("Code")).toBe("InvalidRequest");
  });

  test("that ends early leaves no object, and the old one in place", async () => {
    await call(server, { method: "PUT", path: PATH, body: "old" });
    const { headers = {} } = sign(server, { method: "PUT", path: PATH }, { payload: "UNSIGNED-PAYLOAD" });
    const { hostname, port } = new URL(server.endpoint);
    const lines = Object.entries({ ...headers, "content-length": "1000000" }).map(
      ([name, value]) => `${name}: ${value}\r\n`,
    );
    const socket = connect(Number(port), hostname);
    socket.write(`PUT ${PATH} HTTP/1.1\r\n${lines.join("")}\r\n${"x".repeat(500_000)}`);
    // Half-closed, so that the answer, if there were one, could still come.
    socket.end();
    await new Promise((resolve) => socket.on("close", resolve).resume());
    expect((await call(server, { path: PATH })).body.toString()).toBe("old");
  });

  describe("in signed chunks", () => {
    const chunk = Buffer.alloc(10_000, "x");

    /** Frames and signs a body as the protocol says; `bend` changes what goes over the wire. */
    function upload(
      chunks: Buffer[],
      trailer?: Record<string, string>,
      bend = (body: string) => body,
    ): Promise<Answer> {
      const length = chunks.reduce((sum, { length: size }) => sum + size, 0);
      const headers: Record<string, string> = {
        "x-amz-decoded-content-length": String(length),
        "content-encoding": "aws-chunked,br",
      };
      if (trailer !== undefined) headers["x-amz-trailer"] = Object.keys(trailer).join(",");
      const payload = `STREAMING-AWS4-HMAC-SHA256-PAYLOAD${trailer === undefined ? "" : "-TRAILER"}`;
      const { context, ...signed } = sign(server, { method: "PUT", path: PATH, headers }, { payload });
      const { key, stamp, scope } = context;
      let previous = context.signature;
      const next = (kind: string, hashes: string): string => {
        const text = `AWS4-HMAC-SHA256-${kind}\n${stamp}\n${scope}\n${previous}\n${hashes}`;
        previous = createHmac("sha256", key).update(text).digest("hex");
        return previous;
      };
      let body = "";
      for (const each of [...chunks, Buffer.alloc(0)]) {
        const signature = next("PAYLOAD", `${sha256("")}\n${sha256(each)}`);
        body += `${each.length.toString(16)};chunk-signature=${signature}\r\n${each.toString("latin1")}`;
        if (each.length > 0) body += "\r\n";
      }
      if (trailer !== undefined) {
        const lines = Object.entries(trailer);
        const hash = sha256(lines.map(([name, value]) => `${name}:${value}\n`).join(""));
        for (const [name, value] of lines) body += `${name}:${value}\r\n`;
        body += `x-amz-trailer-signature:${next("TRAILER", hash)}\r\n`;
      }
      return send(server, { ...signed, body: Buffer.from(bend(`${body}\r\n`), "latin1") });
    }

    const whole = Buffer.concat([chunk, chunk, Buffer.from("end")]);

    test("is put together again", async () => {
      expect((await upload([chunk, chunk, Buffer.from("end")])).status).toBe(200);
      const read = await call(server, { path: PATH });
      expect(read.body.equals(whole)).toBe(true);
      expect(read.headers["content-encoding"]).toBe("br");
    });

    test("may have a signed trailer, which is verified", async () => {
      const right = { "x-amz-checksum-crc32c": crc("crc32c", whole) };
      expect((await upload([chunk, chunk, Buffer.from("end")], right)).status).toBe(200);
      const wrong = await upload([chunk], right);
      expect([wrong.status, wrong.xml("Code")]).toEqual([400, "BadDigest"]);
    });

    test.each([
      ["other bytes", (body: string) => body.replace("xxx", "xyx"), 403, "SignatureDoesNotMatch"],
      [
        "another signature",
        (body: string) => body.replace(/(?<=signature=)./, (c) => (c === "0" ? "1" : "0")),
        403,
        "SignatureDoesNotMatch",
      ],
      ["no signature", (body: string) => body.replace(/;chunk-signature=\w+/, ""), 403, "SignatureDoesNotMatch"],
      ["another trailer", (body: string) => body.replace(/(?<=crc32c:)....../, "AAAAAA"), 403, "SignatureDoesNotMatch"],
      [
        "another trailer signature",
        (body: string) => body.replace(/(?<=trailer-signature:)./, (c) => (c === "0" ? "1" : "0")),
        403,
        "SignatureDoesNotMatch",
      ],
      ["a missing end", (body: string) => body.slice(0, 10_050), 400, "IncompleteBody"],
      ["a size that is none", (body: string) => `-${body}`, 400, "IncompleteBody"],
      ["a size that lies", (body: string) => body.replace("2710;", "2711;"), 403, "SignatureDoesNotMatch"],
      ["an endless size line", (body: string) => "0".repeat(100_000) + body, 400, "IncompleteBody"],
    ])("with %s is refused and not stored", async (_, bend, status, code) => {
      const answer = await upload([chunk, chunk], { "x-amz-checksum-crc32c": crc("crc32c", chunk, chunk) }, bend);
      expect([answer.status, answer.xml("Code")]).toEqual([status, code]);
      await expectNothing();
    });

    test("smaller than 8 KiB is refused, unless it is the last one", async () => {
      const small = await upload([Buffer.from("small"), chunk]);
      expect([small.status, small.xml("Code")]).toEqual([403, "InvalidChunkSizeError"]);
    });
  });

  test("whose promised trailer is missing, or is not what was promised, is refused", async () => {
    const headers = { "x-amz-decoded-content-length": "5", "x-amz-trailer": "x-amz-checksum-crc32" };
    const payload = "STREAMING-UNSIGNED-PAYLOAD-TRAILER";
    for (const [trailer, code] of [
      ["", "MalformedTrailerError"],
      ["x-amz-checksum-crc32c:AAAAAA==\r\n", "MalformedTrailerError"],
      ["no colon\r\n", "MalformedTrailerError"],
      ["x-amz-checksum-crc32:AAAA\r\n", "InvalidRequest"],
      ["x-amz-checksum-crc32:AAAAAA==\r\n", "BadDigest"],
    ] as const) {
      const signed = sign(server, { method: "PUT", path: PATH, headers }, { payload });
      const answer = await send(server, { ...signed, body: `5\r\nvalue\r\n0\r\n${trailer}\r\n` });
      expect([answer.status, answer.xml("Code")]).toEqual([400, code]);
    }
    await expectNothing();
  });

  test("in chunks of another length than declared is refused", async () => {
    for (const length of ["4", "6"]) {
      const headers = { "x-amz-decoded-content-length": length };
      const signed = sign(
        server,
        { method: "PUT", path: PATH, headers },
        { payload: "STREAMING-UNSIGNED-PAYLOAD-TRAILER" },
      );
      const answer = await send(server, { ...signed, body: "5\r\nvalue\r\n0\r\n\r\n" });
      expect([answer.status, answer.xml("Code")]).toEqual([400, "IncompleteBody"]);
    }
    await expectNothing();
  });

  test("of XML that is too large, malformed, or more than it may be is refused", async () => {
    const md5 = (body: string) => ({ "content-md5": createHash("md5").update(body).digest("base64") });
    const rule = "<CORSRule><AllowedOrigin>*</AllowedOrigin><AllowedMethod>GET</AllowedMethod></CORSRule>";
    for (const [method, query, body, code] of [
      ["POST", "delete", `<Delete>${" ".repeat(5_000_000)}</Delete>`, "MaxMessageLengthExceeded"],
      ["PUT", "cors", `<CORSConfiguration>${rule.repeat(2000)}</CORSConfiguration>`, "MaxMessageLengthExceeded"],
      ["PUT", "cors", `<CORSConfiguration>${rule.repeat(101)}</CORSConfiguration>`, "MalformedXML"],
      ["POST", "delete", `<Delete>${"<Object><Key>a</Key></Object>".repeat(1001)}</Delete>`, "MalformedXML"],
      ["POST", "delete", "<Delete><Object><Key>a</Key></Delete>", "MalformedXML"],
      [
        "POST",
        "delete",
        '<!DOCTYPE x [<!ENTITY a "b">]><Delete><Object><Key>&a;</Key></Object></Delete>',
        "MalformedXML",
      ],
      ["POST", "delete", "<Delete><Object><Key>&constructor;</Key></Object></Delete>", "MalformedXML"],
      ["POST", "delete", "<Delete>".repeat(5000), "MalformedXML"],
      ["POST", "delete", "", "MalformedXML"],
    ] as const) {
      const answer = await call(server, {
        method,
        path: `/${BUCKET}`,
        query: { [query]: "" },
        headers: md5(body),
        body,
      });
      expect([body.slice(0, 60), answer.status, answer.xml("Code")]).toEqual([body.slice(0, 60), 400, code]);
    }
  });
});
