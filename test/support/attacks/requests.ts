import { HANDLER_URL, post } from "../handler.js";
import { MIB, outcome, PUT, type Attack, type Scene } from "./scene.js";

const READ = [{ op: "get", key: "cache/mine/old" }];
const DENIED = ["ERR_FORBIDDEN"];
const MALFORMED = ["ERR_PROTOCOL"];

/** The status of an HTTP request, which must not grant, nor let the page read, anything. */
const http =
  (make: () => Request) =>
  async ({ handler }: Scene): Promise<number> => {
    const request = make();
    const origin = request.headers.get("origin");
    const response = await handler(request);
    const text = await response.text();
    if (text.includes("X-Amz-Signature")) return 200;
    const shown = response.headers.get("access-control-allow-origin");
    return origin === null || origin.endsWith("friend.test") || shown === null ? response.status : 200;
  };
const page = (headers: Record<string, string>) => http(() => post(READ, { headers }));
const raw = (body: BodyInit, headers: Record<string, string> = {}) => http(() => post(READ, { body, headers }));
const typed = (type: string) => raw(JSON.stringify({ v: 1, requests: READ }), { "content-type": type });

const request =
  (value: unknown) =>
  ({ handler }: Scene): Promise<string> =>
    outcome(handler, value);
const reading = (key: unknown) => request({ op: "get", key });
const writing = (change: object) => request({ ...PUT, ...change });

/** A body whose length nobody announced. */
function endless(size: number): ReadableStream<Uint8Array> {
  let sent = 0;
  return new ReadableStream({
    pull(controller) {
      if (sent >= size) return controller.close();
      controller.enqueue(new Uint8Array(65_536).fill(0x20));
      sent += 65_536;
    },
  });
}

export const requestAttacks: readonly Attack[] = [
  // Who asks
  ["a page of another site", [403], page({ origin: "https://evil.test", "sec-fetch-site": "cross-site" })],
  ["a page of another site, in a browser without Sec-Fetch-Site", [403], page({ origin: "https://evil.test" })],
  [
    "a sibling site of the same domain",
    [403],
    page({ origin: "https://blog.app.test", "sec-fetch-site": "same-site" }),
  ],
  ["a same-site request without an origin", [403], page({ "sec-fetch-site": "same-site" })],
  ["a cross-site request without an origin", [403], page({ "sec-fetch-site": "cross-site" })],
  ["a sandboxed frame", [403], page({ origin: "null", "sec-fetch-site": "cross-site" })],
  [
    "an own origin that the browser calls a stranger",
    [403],
    page({ origin: "https://app.test", "sec-fetch-site": "same-site" }),
  ],
  ["an origin that begins like the handler's", [403], page({ origin: "https://app.test.evil.test" })],
  ["an origin that ends like an allowed one", [403], page({ origin: "https://notfriend.test.evil.test" })],
  ["the handler's host without TLS", [403], page({ origin: "http://app.test" })],
  ["an allowed host on another port", [403], page({ origin: "https://friend.test:8443" })],
  [
    "a preflight request of a stranger",
    [403],
    http(() => new Request(HANDLER_URL, { method: "OPTIONS", headers: { origin: "https://evil.test" } })),
  ],
  // How
  ["a GET, as an image tag sends it", [405], http(() => new Request(`${HANDLER_URL}?requests=[]`))],
  ["a PUT", [405], http(() => post(READ, { method: "PUT" }))],
  ["text/plain, which needs no preflight request", [415], typed("text/plain")],
  ["a form", [415], typed("application/x-www-form-urlencoded")],
  ["a form with a file", [415], typed("multipart/form-data; boundary=x")],
  ["a type that begins like JSON", [415], typed("application/json-patch+json")],
  ["a type that names JSON second", [415], typed("text/plain, application/json")],
  ["a compressed body", [415], raw("x", { "content-encoding": "gzip" })],
  ["JSON that ends early", [400], raw('{"v":1,"requests":[')],
  ["bytes that are not UTF-8", [400], raw(new Uint8Array([0x22, 0xff, 0x22]))],
  ["an empty body", [400], raw("")],
  ["null", [400], raw("null")],
  ["an array", [400], raw("[]")],
  ["another version", [400], raw('{"v":2,"requests":[{"op":"get","key":"cache/mine/old"}]}')],
  ["a version that only looks alike", [400], raw('{"v":"1","requests":[{"op":"get","key":"cache/mine/old"}]}')],
  ["no version", [400], raw('{"requests":[{"op":"get","key":"cache/mine/old"}]}')],
  ["a batch of nothing", [400], raw('{"v":1,"requests":[]}')],
  ["requests that are no array", [400], raw('{"v":1,"requests":{"length":1,"0":{"op":"get","key":"cache/mine/old"}}}')],
  ["more requests than a batch may have", [413], http(() => post(Array.from({ length: 11 }, () => READ[0])))],
  ["a body of a megabyte", [413], raw(`{"v":1,"requests":[]${" ".repeat(MIB)}}`)],
  [
    "a body without end that announces no length",
    [413],
    http(() => post(READ, { body: endless(64 * MIB), duplex: "half" } as RequestInit)),
  ],
  // What
  ["an operation that does not exist", MALFORMED, request({ op: "copy", key: "cache/mine/old" })],
  ["an operation of the prototype", MALFORMED, request({ op: "constructor", key: "cache/mine/old" })],
  ["no operation", MALFORMED, request({ key: "cache/mine/old" })],
  ["a request that is no object", MALFORMED, request("get cache/mine/old")],
  ["a request that is null", MALFORMED, request(null)],
  ["no key", MALFORMED, request({ op: "get" })],
  ["a key that is no string", MALFORMED, reading(["cache/mine/old"])],
  ["a key that is somebody else's", DENIED, reading("cache/hers/diary")],
  ["a delete of somebody else's", DENIED, request({ op: "delete", key: "cache/hers/diary" })],
  ["a key outside the prefix", DENIED, reading("secret/plans")],
  ["an empty key", DENIED, reading("")],
  ["the prefix itself", MALFORMED, reading("cache/")],
  ["a key that only begins like the prefix", DENIED, reading("cache-of-others/mine/old")],
  ["a separator of the prefix that is encoded", DENIED, reading("cache%2Fmine/old")],
  ["a path that climbs", MALFORMED, reading("cache/mine/../../secret/plans")],
  ["a path that climbs by backslashes", MALFORMED, reading("cache/mine/..\\..\\..\\secret\\plans")],
  ["a path that climbs by encoded dots", DENIED, reading("cache/mine/%2e%2e/%2E%2e/secret/plans")],
  ["a path that climbs by encoded separators", DENIED, reading("cache/mine/..%2f..%2Fsecret%2fplans")],
  ["a path that climbs by encoded backslashes", DENIED, reading("cache/mine/..%5c..%5Csecret")],
  ["a path that climbs, encoded twice", DENIED, reading("cache/mine/%252e%252e%252fsecret")],
  ["a path that climbs, encoded four times", DENIED, reading("cache/mine/%2525252e%2525252e%2525252fsecret")],
  ["a single dot", MALFORMED, reading("cache/mine/./old")],
  ["an empty segment", MALFORMED, reading("cache/mine//old")],
  ["a leading slash", DENIED, reading("/cache/mine/old")],
  ["a line break", MALFORMED, reading("cache/mine/old\r\nx-amz-acl: public-read")],
  ["an encoded line break", DENIED, reading("cache/mine/old%0d%0ax")],
  ["a NUL", MALFORMED, reading("cache/mine/old\0.txt")],
  ["a lone surrogate", MALFORMED, reading("cache/mine/\ud800")],
  ["a key of more than 1,024 bytes", MALFORMED, reading(`cache/mine/${"ab/".repeat(400)}c`)],
  ["a segment of more than 255 bytes", MALFORMED, reading(`cache/mine/${"a".repeat(256)}`)],
  ["a key that is ours", DENIED, reading("cache/.bucketcache/uploads/x")],
  ["a key that is ours, deeper down", DENIED, request({ ...PUT, key: "cache/mine/.bucketcache/lease" })],
  ["a key that is ours, encoded", DENIED, reading("cache/mine/%2Ebucketcache/lease")],
  ["a key that is ours, in other case", DENIED, reading("cache/mine/.BucketCache/lease")],
  ["a list, where lists are off", DENIED, request({ op: "list", key: "cache/" })],
  // How much, how long, of which kind
  ["a write of unknown size", MALFORMED, writing({ size: undefined })],
  ["a write beyond maxBytes", ["ERR_TOO_LARGE"], writing({ size: 11 * MIB + 1 })],
  ["a write of negative size", MALFORMED, writing({ size: -1 })],
  ["a write of half a byte", MALFORMED, writing({ size: 0.5 })],
  ["a size that is a string", MALFORMED, writing({ size: "5" })],
  ["an entry without an end", DENIED, writing({ ttl: undefined })],
  ["an entry whose end is null", DENIED, writing({ ttl: null })],
  ["an entry beyond maxTtl", DENIED, writing({ ttl: 3_601 })],
  ["a TTL of nothing", MALFORMED, writing({ ttl: 0 })],
  ["a negative TTL", MALFORMED, writing({ ttl: -60 })],
  ["a TTL with a unit", MALFORMED, writing({ ttl: "1h" })],
  ["a TTL beyond numbers", [400, ...MALFORMED], ({ handler }) => hugeTtl(handler)],
  ["a content type that is not allowed", DENIED, writing({ contentType: "text/html" })],
  ["no content type, where only some are allowed", DENIED, writing({ contentType: undefined })],
  ["two content types in one", MALFORMED, writing({ contentType: "text/plain, text/html" })],
  [
    "a content type that hides another in a parameter",
    MALFORMED,
    writing({ contentType: 'text/plain; a=",text/html"' }),
  ],
  ["a content type with a line break", MALFORMED, writing({ contentType: "text/plain\r\nx-amz-acl: public-read" })],
  ["a content type that only begins like an allowed one", DENIED, writing({ contentType: "text/plain+html" })],
  // Smuggled in
  ["headers of the client's own", MALFORMED, writing({ headers: { "x-amz-acl": "public-read" } })],
  ["metadata of the client's own", MALFORMED, writing({ metadata: { entry: "v=1" } })],
  ["an expires_at of the client's own", MALFORMED, writing({ expires_at: "99999999999" })],
  ["a Cache-Control of the client's own", MALFORMED, writing({ cacheControl: "public, max-age=31536000" })],
  ["a query of the client's own", MALFORMED, request({ op: "get", key: "cache/mine/old", query: { acl: "" } })],
  ["a prefix of the client's own", MALFORMED, request({ op: "get", key: "secret/plans", prefix: "secret/" })],
  ["a life of the grant of the client's own", MALFORMED, request({ op: "get", key: "cache/mine/old", expiresIn: 1e6 })],
  ["more members of entry in the codec", MALFORMED, writing({ codec: "json, created=99999999999.0" })],
  ["a codec with a line break", MALFORMED, writing({ codec: "json\r\nx: y" })],
  ["more members of entry in keyHash", MALFORMED, writing({ keyHash: `${"A".repeat(43)}=:, codec=x, a=:` })],
  ["a flag that is no flag", MALFORMED, writing({ compressed: "true\r\nx: y" })],
  ["a digest that is no digest", MALFORMED, writing({ sha256: "x\r\ny" })],
  ["a condition with a line break", MALFORMED, writing({ ifMatch: '"a"\r\nx-amz-acl: public-read' })],
  ["a condition that is none", MALFORMED, writing({ ifNoneMatch: '"abc"' })],
  ["two conditions that exclude each other", MALFORMED, writing({ ifNoneMatch: "*", ifMatch: '"abc"' })],
];

async function hugeTtl(handler: Scene["handler"]): Promise<number | string> {
  const text = JSON.stringify({ v: 1, requests: [PUT] }).replace('"ttl":60', '"ttl":1e999');
  const response = await handler(post([], { body: text }));
  if (response.status !== 200) return response.status;
  const { results } = (await response.json()) as { results: { error?: { code: string } }[] };
  return results[0]?.error?.code ?? "granted";
}
