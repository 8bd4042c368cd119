import { AbortMultipartUploadCommand, CreateMultipartUploadCommand, ListPartsCommand } from "@aws-sdk/client-s3";
import { clientId, parseClientId } from "../../../src/handler/uploads.js";
import { granted, makeHandler, redeem, uploadParts } from "../handler.js";
import { MIB, outcome, type Attack, type Scene } from "./scene.js";

const REFUSED = [400, 403];
const KEY = "cache/mine/upload";
const CREATE = { contentType: "image/png", ttl: 60 };

const creating =
  (change: object) =>
  ({ handler }: Scene) =>
    outcome(handler, { op: "create", key: KEY, ...CREATE, ...change });

/** Begins an upload, and aborts it whatever comes of it. */
async function upload<T>(
  { handler, bucket }: Scene,
  sizes: readonly number[],
  use: (uploadId: string, etags: string[]) => Promise<T>,
  create: object = {},
  key = KEY,
): Promise<T> {
  const own = key === KEY ? handler : makeHandler(bucket, { prefix: "cache/" });
  const { uploadId, etags } = await uploadParts(own, key, sizes, { ...CREATE, ...create });
  try {
    return await use(uploadId, etags);
  } finally {
    await granted(own, { op: "abort", key, uploadId });
  }
}

const part =
  (change: { partNumber?: unknown; size?: unknown; uploadId?: unknown; key?: string }, create: object = {}) =>
  (scene: Scene) =>
    upload(
      scene,
      [],
      (uploadId) => outcome(scene.handler, { op: "part", key: KEY, uploadId, partNumber: 1, size: MIB, ...change }),
      create,
    );

const completing =
  (sizes: readonly number[], change: object = {}, create: object = {}) =>
  (scene: Scene) =>
    upload(
      scene,
      sizes,
      (uploadId) => outcome(scene.handler, { op: "complete", key: KEY, uploadId, ...change }),
      create,
    );

/** Changes the declaration in an id, which a client may read and not write. */
const redeclared = (request: object) => (scene: Scene) =>
  upload(
    scene,
    [10],
    (uploadId) => {
      const { nonce, uploadId: own, declared } = parseClientId(uploadId);
      const forged = clientId(nonce, own, { ...declared, size: 11 });
      if (declared.size !== 10 || forged === uploadId) throw new Error("nothing was declared");
      return outcome(scene.handler, {
        key: KEY,
        uploadId: forged,
        ...("size" in request && { partNumber: 1 }),
        ...request,
      });
    },
    { size: 10 },
  );

type Change = Parameters<typeof redeem>[2];

const bentPart =
  (body: number, change: Change | ((scene: Scene) => Change)) =>
  (scene: Scene): Promise<number> =>
    upload(scene, [], async (uploadId) => {
      const grant = await granted(scene.handler, { op: "part", key: KEY, uploadId, partNumber: 1, size: 10 });
      return (await redeem(grant, new Uint8Array(body), typeof change === "function" ? change(scene) : change)).status;
    });

/** Attacks an upload of somebody else, which must still hold its part afterwards. */
const onUploadOfAnother =
  (attack: (scene: Scene, uploadId: string) => Promise<number | string>) =>
  (scene: Scene): Promise<number | string> =>
    upload(
      scene,
      [10],
      async (uploadId) => {
        const result = await attack(scene, uploadId);
        const command = {
          Bucket: scene.bucket.bucket,
          Key: "cache/hers/upload",
          UploadId: parseClientId(uploadId).uploadId,
        };
        const { Parts = [] } = await scene.client.send(new ListPartsCommand(command));
        return Parts.length === 1 ? result : "her upload was harmed";
      },
      {},
      "cache/hers/upload",
    );

export const uploadAttacks: readonly Attack[] = [
  ["a beginning that declares too much", ["ERR_TOO_LARGE"], creating({ size: 11 * MIB + 1 })],
  ["a beginning without a TTL", ["ERR_FORBIDDEN"], creating({ ttl: undefined })],
  ["a beginning with too long a TTL", ["ERR_FORBIDDEN"], creating({ ttl: 3_601 })],
  ["a beginning of a type that is not allowed", ["ERR_FORBIDDEN"], creating({ contentType: "text/html" })],
  ["a beginning for somebody else's key", ["ERR_FORBIDDEN"], creating({ key: "cache/hers/upload" })],
  ["part 0", ["ERR_PROTOCOL"], part({ partNumber: 0 })],
  ["part 10,001", ["ERR_PROTOCOL"], part({ partNumber: 10_001 })],
  ["part 1.5", ["ERR_PROTOCOL"], part({ partNumber: 1.5 })],
  ["an empty part", ["ERR_TOO_LARGE", "ERR_PROTOCOL"], part({ size: 0 })],
  ["a part beyond maxBytes", ["ERR_TOO_LARGE"], part({ size: 11 * MIB + 1 })],
  ["a part that leaves no room for those before it", ["ERR_TOO_LARGE"], part({ partNumber: 2, size: 6 * MIB })],
  ["a small part of a number that maxBytes has no room for", ["ERR_TOO_LARGE"], part({ partNumber: 4, size: 1 })],
  ["a part beyond the declared size", ["ERR_TOO_LARGE"], part({ size: 11 }, { size: 10 })],
  ["a part of another key", ["ERR_FORBIDDEN"], part({ key: "cache/mine/other" })],
  ["a part of an upload that never was", ["ERR_FORBIDDEN"], part({ uploadId: `${"A".repeat(22)}none` })],
  ["a part of an upload with a path for an id", ["ERR_FORBIDDEN"], part({ uploadId: "../../secret/plans" })],
  ["a part of an upload whose id was made to declare more", ["ERR_FORBIDDEN"], redeclared({ op: "part", size: 11 })],
  ["the end of an upload whose id was made to declare more", ["ERR_FORBIDDEN"], redeclared({ op: "complete" })],
  ["a part with a line break in its id", ["ERR_PROTOCOL"], part({ uploadId: "a\r\nb" })],
  ["a part one byte longer than granted", REFUSED, bentPart(11, {})],
  ["a part one byte shorter than granted", REFUSED, bentPart(9, {})],
  ["a part under another number", REFUSED, bentPart(10, { url: (url) => url.replace("partNumber=1", "partNumber=2") })],
  [
    "a part of another upload",
    REFUSED,
    bentPart(10, { url: (url) => url.replace(/uploadId=[^&]+/, "uploadId=another") }),
  ],
  [
    "a part that is a whole object",
    REFUSED,
    bentPart(10, { url: (url) => url.replace(/&?(?:partNumber|uploadId)=[^&]+/g, "") }),
  ],
  ["a part grant used to abort", REFUSED, bentPart(10, { method: "DELETE" })],
  [
    "a part that copies an object of others",
    [...REFUSED, 412],
    bentPart(0, ({ bucket }) => ({ headers: { "x-amz-copy-source": `/${bucket.bucket}/secret/plans` } })),
  ],
  [
    "a part that copies, without the header that forbids it",
    REFUSED,
    bentPart(0, ({ bucket }) => ({
      headers: {
        "x-amz-copy-source": `/${bucket.bucket}/secret/plans`,
        "x-amz-copy-source-if-match": undefined,
      },
    })),
  ],
  ["uneven parts that come to more than maxBytes", ["ERR_TOO_LARGE"], completing([11 * MIB, 5 * MIB])],
  [
    "uneven parts that come to more than was declared",
    ["ERR_TOO_LARGE"],
    completing([8 * MIB, 3 * MIB], {}, { size: 10 * MIB }),
  ],
  ["uneven parts", ["ERR_PROTOCOL"], completing([5 * MIB, 5.5 * MIB])],
  ["less than was declared", ["ERR_PROTOCOL"], completing([5 * MIB], {}, { size: 6 * MIB })],
  ["nothing at all", ["ERR_PROTOCOL"], completing([])],
  ["another number of parts", ["ERR_PROTOCOL"], completing([10], { parts: 2 })],
  [
    "a part with another ETag",
    ["ERR_PROTOCOL"],
    completing([10], { parts: [{ partNumber: 1, etag: '"00000000000000000000000000000000"' }] }),
  ],
  ["an end under another key", ["ERR_FORBIDDEN"], completing([10], { key: "cache/mine/other" })],
  ["an end under a key of somebody else", ["ERR_FORBIDDEN"], completing([10], { key: "cache/hers/diary" })],
  ["a total that the end declares anew", ["ERR_PROTOCOL"], completing([10], { size: 10 }, { size: 12 })],
  ["a TTL that the end declares anew is not believed", ["ERR_PROTOCOL"], completing([], { ttl: 3_600 })],
  [
    "the end of somebody else's upload",
    ["ERR_FORBIDDEN"],
    onUploadOfAnother((scene, uploadId) =>
      outcome(scene.handler, { op: "complete", key: "cache/hers/upload", uploadId }),
    ),
  ],
  [
    "the end of somebody else's upload under an own key",
    ["ERR_FORBIDDEN"],
    onUploadOfAnother((scene, uploadId) => outcome(scene.handler, { op: "complete", key: KEY, uploadId })),
  ],
  [
    "an abort of somebody else's upload",
    ["ERR_FORBIDDEN"],
    onUploadOfAnother((scene, uploadId) => outcome(scene.handler, { op: "abort", key: "cache/hers/upload", uploadId })),
  ],
  [
    "a part of somebody else's upload",
    ["ERR_FORBIDDEN"],
    onUploadOfAnother((scene, uploadId) =>
      outcome(scene.handler, { op: "part", key: "cache/hers/upload", uploadId, partNumber: 1, size: 10 }),
    ),
  ],
  [
    "an upload that the server itself has begun, without the handler",
    ["ERR_FORBIDDEN"],
    async ({ handler, client, bucket }) => {
      const object = { Bucket: bucket.bucket, Key: KEY };
      const { UploadId } = await client.send(new CreateMultipartUploadCommand(object));
      const uploadId = "A".repeat(22) + UploadId;
      const codes = [];
      for (const request of [{ op: "part", partNumber: 1, size: 10 }, { op: "complete" }]) {
        codes.push(await outcome(handler, { ...request, key: KEY, uploadId }));
      }
      await client.send(new AbortMultipartUploadCommand({ ...object, UploadId }));
      return new Set(codes).size === 1 ? (codes[0] as string) : codes.join();
    },
  ],
];
