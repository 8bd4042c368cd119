import type { ObjectStore, SignableRequest } from "bucketcache";
import { startDevServer, type DevServer } from "bucketcache/dev";
import { s3Store } from "bucketcache/s3";
import { quirkyFetch, type QuirkyFetch, type Quirks } from "bucketcache/testing";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createHash } from "node:crypto";

let server: DevServer;
let plain: ObjectStore;
const PLAIN = { contentType: "text/plain", metadata: {} };
let etag = "";

beforeAll(async () => {
  server = await startDevServer();
  plain = s3Store({ bucket: "bucketcache", ...server });
  ({ etag } = await plain.put("there", new TextEncoder().encode("0123456789"), PLAIN));
  for (const key of ["list/a", "list/b", "list/c"]) await plain.put(key, new Uint8Array(1), PLAIN);
});
afterAll(() => server.close());

interface Answer {
  status: number;
  headers: Headers;
  text: string;
}

/** Sends a signed request through quirks. `extra` is not signed. */
async function send(
  fetch: QuirkyFetch,
  request: SignableRequest,
  { body, extra = {} }: { body?: string; extra?: Record<string, string> } = {},
): Promise<Answer> {
  const { method, url, headers } = await plain.signer!.sign(request, 60);
  const { "content-length": _, ...rest } = headers;
  const init: RequestInit = { method, headers: { ...rest, ...extra }, ...(body !== undefined && { body }) };
  const response = await fetch(url, init);
  return { status: response.status, headers: response.headers, text: await response.text() };
}

const get = (key: string): SignableRequest => ({ method: "GET", key });
const put = (key: string, headers: Record<string, string> = {}): SignableRequest => ({ method: "PUT", key, headers });

const deletion = "<Delete><Object><Key>never-was</Key></Object></Delete>";
const batch = (headers: Record<string, string> = {}): SignableRequest => ({
  method: "POST",
  key: "",
  query: { delete: "" },
  headers: { "x-amz-checksum-sha256": createHash("sha256").update(deletion).digest("base64"), ...headers },
});

const list = (query: Record<string, string> = {}): SignableRequest => ({
  method: "GET",
  key: "",
  query: { "list-type": "2", prefix: "list/", ...query },
});

const keysIn = (xml: string): string[] => Array.from(xml.matchAll(/<Key>(.*?)<\/Key>/g), (match) => match[1]!);

interface Row {
  quirks: Quirks;
  shows: (fetch: QuirkyFetch) => Promise<void>;
}

const rows: Record<string, Row> = {
  "strips the quotes of ETags in headers and XML": {
    quirks: { etags: "unquoted" },
    async shows(fetch) {
      expect((await send(fetch, get("there"))).headers.get("etag")).toBe(etag.replaceAll('"', ""));
      expect((await send(fetch, list())).text).toMatch(/<ETag>[0-9a-f]{32}<\/ETag>/);
    },
  },
  "makes ETags weak": {
    quirks: { etags: "weak" },
    async shows(fetch) {
      expect((await send(fetch, get("there"))).headers.get("etag")).toBe(`W/${etag}`);
      expect((await send(fetch, list())).text).toMatch(/<ETag>W\/&quot;[0-9a-f]{32}&quot;<\/ETag>/);
    },
  },
  "fails ETags in quotes and takes those without": {
    quirks: { conditions: "unquoted" },
    async shows(fetch) {
      expect((await send(fetch, put("there", { "if-match": etag }), { body: "x" })).status).toBe(412);
      const bare = etag.replaceAll('"', "");
      const again = await send(fetch, put("there", { "if-match": bare }), { body: "0123456789" });
      expect(again.status).toBe(200);
      expect((await send(fetch, put("there", { "if-match": "other" }), { body: "x" })).status).toBe(412);
    },
  },
  "fails every condition of a write, and none of a read": {
    quirks: { conditions: "fail" },
    async shows(fetch) {
      expect((await send(fetch, put("there", { "if-match": etag }), { body: "x" })).status).toBe(412);
      expect((await send(fetch, put("new", { "if-none-match": "*" }), { body: "x" })).status).toBe(412);
      expect((await send(fetch, { method: "DELETE", key: "there", headers: { "if-match": etag } })).status).toBe(412);
      expect((await send(fetch, get("there"), { extra: { "if-none-match": etag } })).status).toBe(304);
      expect((await send(fetch, put("plain"), { body: "x" })).status).toBe(200);
      expect(await plain.head("new")).toBeUndefined();
    },
  },
  "refuses conditions with 501": {
    quirks: { conditions: 501 },
    shows: async (fetch) =>
      expect((await send(fetch, put("new", { "if-none-match": "*" }), { body: "x" })).status).toBe(501),
  },
  "refuses conditions with 400": {
    quirks: { conditions: 400 },
    shows: async (fetch) =>
      expect((await send(fetch, put("new", { "if-none-match": "*" }), { body: "x" })).status).toBe(400),
  },
  "answers 304 where a write's condition fails": {
    quirks: { failedConditions: 304 },
    async shows(fetch) {
      const answer = await send(fetch, put("there", { "if-none-match": "*" }), { body: "x" });
      expect([answer.status, answer.text]).toEqual([304, ""]);
      expect((await send(fetch, put("free", { "if-none-match": "*" }), { body: "x" })).status).toBe(200);
    },
  },
  "wants Content-MD5 for a batch of deletions": {
    quirks: { batchDelete: "content-md5" },
    async shows(fetch) {
      expect(await send(fetch, batch(), { body: deletion })).toMatchObject({ status: 400 });
      const md5 = createHash("md5").update(deletion).digest("base64");
      expect((await send(fetch, batch({ "content-md5": md5 }), { body: deletion })).status).toBe(200);
    },
  },
  "knows no batch of deletions: 405": {
    quirks: { batchDelete: 405 },
    shows: async (fetch) => expect((await send(fetch, batch(), { body: deletion })).status).toBe(405),
  },
  "knows no batch of deletions: 501": {
    quirks: { batchDelete: 501 },
    shows: async (fetch) => expect((await send(fetch, batch(), { body: deletion })).status).toBe(501),
  },
  "knows no batch of deletions: 400": {
    quirks: { batchDelete: 400 },
    shows: async (fetch) => expect((await send(fetch, batch(), { body: deletion })).status).toBe(400),
  },
  "lists truncated pages without a token": {
    quirks: { pages: { size: 2, token: "missing" } },
    async shows(fetch) {
      const { text } = await send(fetch, list());
      expect(keysIn(text)).toEqual(["list/a", "list/b"]);
      expect(text).toContain("<IsTruncated>true</IsTruncated>");
      expect(text).not.toContain("NextContinuationToken");
      const rest = await send(fetch, list({ "start-after": "list/b" }));
      expect(keysIn(rest.text)).toEqual(["list/c"]);
      expect(rest.text).toContain("<IsTruncated>false</IsTruncated>");
    },
  },
  "names the same token for ever": {
    quirks: { pages: { size: 2, token: "repeated" } },
    async shows(fetch) {
      const first = await send(fetch, list());
      const token = /<NextContinuationToken>(.*?)</.exec(first.text)![1]!;
      expect((await send(fetch, list({ "continuation-token": token }))).text).toBe(first.text);
    },
  },
  "ignores start-after": {
    quirks: { pages: { size: 2, token: "missing", startAfter: "ignored" } },
    async shows(fetch) {
      const first = await send(fetch, list());
      expect((await send(fetch, list({ "start-after": "list/b" }))).text).toBe(first.text);
    },
  },
  "answers 404 without a body, to a DELETE as well": {
    quirks: { absent: "no-body" },
    async shows(fetch) {
      expect(await send(fetch, get("nowhere"))).toMatchObject({ status: 404, text: "" });
      expect(await send(fetch, { method: "DELETE", key: "nowhere" })).toMatchObject({ status: 404, text: "" });
      expect((await send(fetch, get("there"))).status).toBe(200);
    },
  },
  "answers 404 with a page of HTML": {
    quirks: { absent: "html" },
    async shows(fetch) {
      const answer = await send(fetch, get("nowhere"));
      expect(answer).toMatchObject({ status: 404, text: expect.stringContaining("<h1>Not Found</h1>") });
      expect(answer.headers.get("content-type")).toBe("text/html");
    },
  },
  "spells the XML of an error in another way": {
    quirks: { absent: "spelling" },
    shows: async (fetch) => expect((await send(fetch, get("nowhere"))).text).toMatch(/<Code\s+lang="en"> NoSuchKey /),
  },
  "announces no length": {
    quirks: { lengths: "hidden" },
    async shows(fetch) {
      const answer = await send(fetch, get("there"));
      expect([answer.headers.get("content-length"), answer.text]).toEqual([null, "0123456789"]);
    },
  },
  "answers 200 with nothing": {
    quirks: { successes: "empty" },
    async shows(fetch) {
      const answer = await send(fetch, get("there"));
      expect([answer.status, answer.text, answer.headers.get("etag")]).toEqual([200, "", null]);
    },
  },
  "answers 206 to a GET of the whole": {
    quirks: { wholes: "partial" },
    async shows(fetch) {
      const answer = await send(fetch, get("there"));
      expect([answer.status, answer.headers.get("content-range")]).toEqual([206, "bytes 0-9/10"]);
      expect((await send(fetch, list())).status).toBe(200);
    },
  },
  "ignores ranges": {
    quirks: { ranges: "ignored" },
    shows: async (fetch) =>
      expect(await send(fetch, get("there"), { extra: { range: "bytes=0-0" } })).toMatchObject({
        status: 200,
        text: "0123456789",
      }),
  },
  "answers a range with all bytes and 206": {
    quirks: { ranges: "whole" },
    async shows(fetch) {
      const answer = await send(fetch, get("there"), { extra: { range: "bytes=0-0" } });
      expect([answer.status, answer.text]).toEqual([206, "0123456789"]);
    },
  },
  "cuts XML in the middle": {
    quirks: { xml: "cut" },
    async shows(fetch) {
      expect((await send(fetch, list())).text).not.toContain("</ListBucketResult>");
      const error = await send(fetch, get("nowhere"));
      expect([error.status, error.text.includes("</Error>")]).toEqual([404, false]);
    },
  },
  "refuses a key below another key": {
    quirks: { keys: "files" },
    async shows(fetch) {
      expect((await send(fetch, put("file"), { body: "x" })).status).toBe(200);
      expect((await send(fetch, put("file/below"), { body: "x" })).status).toBe(409);
      expect((await send(fetch, put("folder/in"), { body: "x" })).status).toBe(200);
      expect((await send(fetch, put("folder"), { body: "x" })).status).toBe(409);
      expect((await send(fetch, { method: "DELETE", key: "file" })).status).toBe(204);
      expect((await send(fetch, put("file/below"), { body: "x" })).status).toBe(200);
    },
  },
  "refuses a query that overrides headers": {
    quirks: { overrides: 403 },
    async shows(fetch) {
      const query = { "response-content-encoding": "identity" };
      expect((await send(fetch, { ...get("there"), query })).status).toBe(403);
      expect((await send(fetch, get("there"))).status).toBe(200);
    },
  },
};

describe("quirkyFetch", () => {
  test.each(Object.entries(rows))("%s", async (_, { quirks, shows }) => {
    const fetch = quirkyFetch(quirks);
    await shows(fetch);
    expect(fetch.met).toBeGreaterThan(0);
  });

  test("passes everything through without quirks, and can be changed at any time", async () => {
    const fetch = quirkyFetch();
    expect(await send(fetch, get("there"))).toMatchObject({ status: 200, text: "0123456789" });
    expect(fetch.met).toBe(0);
    fetch.quirks = { successes: "empty" };
    expect((await send(fetch, get("there"))).text).toBe("");
    expect(fetch.requests.map(({ method, status }) => `${method} ${status}`)).toEqual(["GET 200", "GET 200"]);
  });

  test("waits without end, until the caller aborts", async () => {
    const fetch = quirkyFetch({ delayMs: Infinity });
    const controller = new AbortController();
    const { url } = await plain.signer!.sign(get("there"), 60);
    const answer = fetch(url, { signal: controller.signal });
    expect(fetch.requests[0]!.status).toBeUndefined();
    controller.abort(new Error("enough"));
    await expect(answer).rejects.toThrow("enough");
  });

  test("passes a slow request on in the end", async () => {
    const fetch = quirkyFetch({ delayMs: 1 });
    expect((await send(fetch, get("there"))).status).toBe(200);
    expect(fetch.met).toBe(1);
  });
});
