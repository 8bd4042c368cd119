import { vi } from "vitest";
import { granted, makeHandler, redeem } from "../handler.js";
import { PUT, type Attack, type Scene } from "./scene.js";

const REFUSED = [400, 403];
const GET = { op: "get", key: "cache/mine/old" };
const BODY = "hello";

type Change = Parameters<typeof redeem>[2];

/** Redeems a write grant that was bent; `size` of what is sent. */
const bentPut =
  (change: Change, body: string | null = BODY, request: object = PUT) =>
  async ({ handler }: Scene): Promise<number> =>
    (await redeem(await granted(handler, request), body ?? undefined, change)).status;

const bentGet =
  (change: Change, body?: string) =>
  async ({ handler }: Scene): Promise<number> =>
    (await redeem(await granted(handler, GET), body, change)).status;

const url = (from: string | RegExp, to: string): Change => ({
  url: (text) => {
    const changed = text.replace(from, to);
    if (changed === text) throw new Error(`nothing to change: ${String(from)}`);
    return changed;
  },
});
const query = (more: string): Change => ({ url: (text) => `${text}&${more}` });
const header = (name: string, value: string | undefined): Change => ({ headers: { [name]: value } });

/** Redeems a grant that ended long ago, given by a handler whose clock stood then. */
async function redeemAfterItsEnd({ bucket }: Scene, request: object, body?: string): Promise<number> {
  vi.useFakeTimers({ toFake: ["Date"], now: Date.now() - 3_600_000 });
  const grant = await granted(makeHandler(bucket), request).finally(() => vi.useRealTimers());
  return (await redeem(grant, body)).status;
}

const TAGS = "<Tagging><TagSet><Tag><Key>a</Key><Value>b</Value></Tag></TagSet></Tagging>";

/**
 * Headers beginning with `x-amz-` that were not signed are refused by AWS. MinIO lets some through; it knows no access
 * lists and no redirects, and sets the tags.
 */
export const unsignedHeaderAttacks: readonly Attack[] = [
  ["an access list for all the world", REFUSED, bentPut(header("x-amz-acl", "public-read"))],
  ["tags", REFUSED, bentPut(header("x-amz-tagging", "a=b"))],
  ["a redirect to somewhere else", REFUSED, bentPut(header("x-amz-website-redirect-location", "https://evil.test/"))],
  ["a payer of the attacker's choice", REFUSED, bentPut(header("x-amz-request-payer", "requester"))],
];

export const grantAttacks: readonly Attack[] = [
  ["one byte more", REFUSED, bentPut({}, "hello!")],
  ["one byte less", REFUSED, bentPut({}, "hell")],
  ["another content type", REFUSED, bentPut(header("content-type", "text/html"))],
  ["no content type", REFUSED, bentPut(header("content-type", undefined))],
  ["a longer TTL", REFUSED, bentPut(header("x-amz-meta-expires_at", "99999999999"))],
  ["no TTL", REFUSED, bentPut(header("x-amz-meta-expires_at", undefined))],
  [
    "another entry",
    REFUSED,
    bentPut(header("x-amz-meta-entry", "v=1, created=1.0, codec=json, nonce=:AAAAAAAAAAAAAAAAAAAAAA==:")),
  ],
  ["no entry", REFUSED, bentPut(header("x-amz-meta-entry", undefined))],
  ["a flag that the entry has not", REFUSED, bentPut(header("x-amz-meta-compressed", "true"))],
  ["metadata that was not granted", REFUSED, bentPut(header("x-amz-meta-owner", "me"))],
  ["another storage class", REFUSED, bentPut(header("x-amz-storage-class", "GLACIER"))],
  ["a Cache-Control that keeps it for ever", REFUSED, bentPut(header("cache-control", "public, max-age=31536000"))],
  ["no Cache-Control", REFUSED, bentPut(header("cache-control", undefined))],
  ["an encoding that readers fail on", REFUSED, bentPut(header("content-encoding", "gzip"))],
  ["no encoding", REFUSED, bentPut(header("content-encoding", undefined))],
  ["a copy of an object of others", REFUSED, bentPut(header("x-amz-copy-source", "/test/secret/plans"), "")],
  [
    "a copy of an object of others, of the size that was granted",
    [...REFUSED, 412],
    async (scene) => {
      const change = header("x-amz-copy-source", `/${scene.bucket.bucket}/secret/plans`);
      const grant = await granted(scene.handler, { ...PUT, size: 0 });
      return (await redeem(grant, undefined, change)).status;
    },
  ],
  [
    "a copy, without the header that forbids it",
    REFUSED,
    async (scene) => {
      const grant = await granted(scene.handler, { ...PUT, size: 0 });
      const headers = {
        "x-amz-copy-source": `/${scene.bucket.bucket}/secret/plans`,
        "x-amz-copy-source-if-match": undefined,
      };
      return (await redeem(grant, undefined, { headers })).status;
    },
  ],
  ["another key", REFUSED, bentPut(url("cache/mine/new", "cache/hers/diary"))],
  ["a key below the granted one", REFUSED, bentPut(url("cache/mine/new", "cache/mine/new/child"))],
  ["another bucket", REFUSED, bentPut(url(/\/[^/]+\/cache\/mine\/new/, "/other/cache/mine/new"))],
  ["the key with its separators encoded", REFUSED, bentPut(url("cache/mine/new", "cache%2Fmine%2F..%2F..%2Fsecret"))],
  ["a later end", REFUSED, bentPut(url("X-Amz-Expires=300", "X-Amz-Expires=604800"))],
  ["a later beginning", REFUSED, bentPut(url(/X-Amz-Date=\d{8}/, "X-Amz-Date=29991231"))],
  ["fewer signed headers", REFUSED, bentPut(url(/X-Amz-SignedHeaders=[^&]+/, "X-Amz-SignedHeaders=host"))],
  ["another signature", REFUSED, bentPut(url(/X-Amz-Signature=.{8}/, "X-Amz-Signature=00000000"))],
  ["no signature", REFUSED, bentPut(url(/&?X-Amz-[^&]+/g, ""))],
  ["the access list of an object in place of the object", REFUSED, bentPut(query("acl="))],
  [
    "the tags of an object in place of the object",
    REFUSED,
    bentPut(query("tagging="), TAGS, { ...PUT, key: "cache/mine/old", size: TAGS.length }),
  ],
  ["a part in place of the object", REFUSED, bentPut(query("partNumber=1&uploadId=x"))],
  ["a write grant used to read", REFUSED, bentPut({ method: "GET" }, null)],
  ["a write grant used to delete", REFUSED, bentPut({ method: "DELETE" }, null)],
  ["a write grant used to begin an upload", REFUSED, bentPut({ method: "POST", ...query("uploads=") }, null)],
  [
    "another body than the digest that was granted",
    REFUSED,
    bentPut({}, BODY, { ...PUT, sha256: `${"A".repeat(43)}=` }),
  ],
  [
    "another body, with its own digest",
    REFUSED,
    bentPut(header("x-amz-checksum-sha256", "LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ="), BODY, {
      ...PUT,
      sha256: `${"A".repeat(43)}=`,
    }),
  ],
  [
    "an overwrite by a grant for what is not there yet",
    [412],
    bentPut({}, BODY, { ...PUT, key: "cache/mine/old", ifNoneMatch: "*" }),
  ],
  [
    "the same without the condition",
    REFUSED,
    bentPut(header("if-none-match", undefined), BODY, { ...PUT, key: "cache/mine/old", ifNoneMatch: "*" }),
  ],
  [
    "an overwrite with another condition",
    REFUSED,
    bentPut(header("if-match", "*"), BODY, {
      ...PUT,
      key: "cache/mine/old",
      ifMatch: '"00000000000000000000000000000000"',
    }),
  ],
  [
    "a delete without its condition",
    REFUSED,
    async ({ handler }) => {
      const request = { op: "delete", key: "cache/mine/old", ifMatch: '"00000000000000000000000000000000"' };
      return (await redeem(await granted(handler, request), undefined, header("if-match", undefined))).status;
    },
  ],
  ["a read grant used to delete", REFUSED, bentGet({ method: "DELETE" })],
  ["a read grant used to write", REFUSED, bentGet({ method: "PUT" }, "x")],
  ["a read grant for another key", REFUSED, bentGet(url("cache/mine/old", "cache/hers/diary"))],
  ["a read grant for the whole bucket", REFUSED, bentGet(url("/cache/mine/old", "/"))],
  ["a read that is served as a page", REFUSED, bentGet(query("response-content-type=text%2Fhtml"))],
  [
    "a read that is served as a page under another encoding",
    REFUSED,
    bentGet(url("response-content-encoding=identity", "response-content-encoding=br")),
  ],
  ["a read of the access list", REFUSED, bentGet(query("acl="))],
  ["a read of an older version", REFUSED, bentGet(query("versionId=null"))],
  [
    "a HEAD grant used to read",
    REFUSED,
    async ({ handler }) =>
      (await redeem(await granted(handler, { op: "head", key: "cache/mine/old" }), undefined, { method: "GET" }))
        .status,
  ],
  ["a read after its end", [403], (scene) => redeemAfterItsEnd(scene, GET)],
  ["a write after its end", [403], (scene) => redeemAfterItsEnd(scene, PUT, BODY)],
  ["a delete after its end", [403], (scene) => redeemAfterItsEnd(scene, { op: "delete", key: "cache/mine/old" })],
];
