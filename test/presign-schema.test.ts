import { readFile } from "node:fs/promises";
import fc from "fast-check";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Malformed } from "../src/presigned/protocol.js";
import { parseRequest } from "../src/handler/messages.js";
import { devBucket, makeHandler, post, uploadParts, type Bucket, type Handler } from "./support/handler.js";
import { misfits } from "./support/json-schema.js";

const schema = JSON.parse(
  await readFile(new URL("../schema/presign-protocol.json", import.meta.url), "utf8"),
) as Record<string, Record<string, Record<string, unknown>>>;
const check = (name: string, value: unknown) => misfits(schema, schema["$defs"]![name]!, value);

let bucket: Bucket & { stop(): Promise<void> };
let handler: Handler;
beforeAll(async () => {
  bucket = await devBucket();
  handler = makeHandler(bucket, { allowList: true, maxBatch: 20, authorize: ({ key }) => !key.includes("private") });
});
afterAll(async () => bucket.stop());

const answer = async (requests: unknown): Promise<unknown> => (await handler(post(requests))).json();

test("every operation, its result and its refusal are as the published schema says", async () => {
  const key = "cache/a";
  const sha256 = `${"A".repeat(43)}=`;
  const { uploadId } = await uploadParts(handler, key, [10]);
  const again = await uploadParts(handler, key, [10]);
  const requests = [
    { op: "get", key, compressed: true },
    { op: "head", key },
    { op: "put", key, size: 0 },
    { op: "put", key, size: 1, ttl: 0.5, contentType: "text/plain; charset=utf-8", codec: "text", compressed: true },
    { op: "put", key, size: 1, keyHash: sha256, sha256, ifNoneMatch: "*" },
    { op: "delete", key, ifMatch: '"abc"' },
    { op: "create", key, size: 10, ttl: 60 },
    { op: "part", key, uploadId, partNumber: 1, size: 10 },
    { op: "abort", key, uploadId: again.uploadId },
    { op: "list", key: "cache/" },
    { op: "get", key: "private" },
  ];
  expect(check("batch", { v: 1, requests })).toEqual([]);
  const all = (await answer(requests)) as { results: object[] };
  expect(check("answer", all)).toEqual([]);
  expect(all.results.map((result) => Object.keys(result).sort().join())).toEqual([
    ...Array.from({ length: 6 }, () => "expiresAt,headers,method,url"),
    "uploadId",
    "expiresAt,headers,method,url",
    "",
    "keys",
    "error",
  ]);
  const complete = [{ op: "complete", key, uploadId, parts: [{ partNumber: 1 }] }];
  expect(check("batch", { v: 1, requests: complete })).toEqual([]);
  expect(check("answer", await answer(complete))).toEqual([]);
});

test.each([
  ["no batch", {}],
  ["too many", Array.from({ length: 21 }, () => ({ op: "get", key: "k" }))],
])("a refusal of the whole (%s) is as the schema says", async (_, requests) => {
  expect(check("refusal", await answer(requests))).toEqual([]);
});

test("what the schema refuses the handler refuses, and the other way round", () => {
  const member = <T>(good: fc.Arbitrary<T>) =>
    fc.option(
      fc.oneof({ weight: 4, arbitrary: good as fc.Arbitrary<unknown> }, fc.constantFrom(-1, 0.5, "", "x\n", [], true)),
      {
        nil: undefined,
        freq: 3,
      },
    );
  const request = fc
    .record({
      op: fc.constantFrom("get", "head", "put", "delete", "create", "part", "complete", "abort", "list", "copy"),
      key: member(fc.string({ maxLength: 20 })),
      ttl: member(fc.double({ min: 0.001, max: 1e9, noNaN: true })),
      size: member(fc.nat()),
      contentType: member(fc.constantFrom("a/b", "text/plain; charset=utf-8")),
      codec: member(fc.constantFrom("json", "x-1")),
      compressed: member(fc.boolean()),
      sha256: member(fc.constant(`${"B".repeat(43)}=`)),
      ifMatch: member(fc.constantFrom('"abc"', "abc")),
      uploadId: member(fc.constant("abc")),
      partNumber: member(fc.integer({ min: 1, max: 10_000 })),
      parts: member(fc.oneof(fc.integer({ min: 1, max: 9 }), fc.constant([{ partNumber: 1 }]))),
      cursor: member(fc.constant("c")),
      more: fc.option(fc.constant(1), { nil: undefined, freq: 20 }),
    })
    .map((each) => JSON.parse(JSON.stringify(each)) as Record<string, unknown>);
  fc.assert(
    fc.property(request, (value) => {
      let parsed = true;
      try {
        parseRequest(value);
      } catch (error) {
        if (!(error instanceof Malformed)) throw error;
        parsed = false;
      }
      expect(check("request", value).length === 0, JSON.stringify(value)).toBe(parsed);
    }),
    { numRuns: 2_000 },
  );
});

test("whatever is sent, the handler answers with JSON of its protocol, and never fails", async () => {
  const body = fc.oneof(
    fc.json(),
    fc.string(),
    fc.jsonValue().map((value) => JSON.stringify({ v: 1, requests: [value] })),
  );
  await fc.assert(
    fc.asyncProperty(body, async (text) => {
      const response = await handler(post([], { body: text }));
      expect([200, 400]).toContain(response.status);
      expect(check(response.status === 200 ? "answer" : "refusal", await response.json())).toEqual([]);
    }),
    { numRuns: 300 },
  );
});
