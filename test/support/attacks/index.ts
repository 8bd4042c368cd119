import { S3Client, ListObjectsV2Command, PutObjectCommand } from "@aws-sdk/client-s3";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { PresignHandlerOptions } from "bucketcache/handler";
import { makeHandler, type Bucket } from "../handler.js";
import type { Signs } from "../signers.js";
import { grantAttacks, unsignedHeaderAttacks } from "./grants.js";
import { requestAttacks } from "./requests.js";
import { MIB, type Attack, type Scene } from "./scene.js";
import { uploadAttacks } from "./uploads.js";

/** All attempts, as `docs/presign-protocol.md` lists them. */
export const TABLES: readonly (readonly [title: string, table: readonly Attack[]])[] = [
  ["a request beyond the rules is refused", requestAttacks],
  ["a grant that is bent is refused by the store", grantAttacks],
  ["a header that nobody signed is refused by the store", unsignedHeaderAttacks],
  ["an upload beyond what was authorised is refused", uploadAttacks],
];

/** `strict` for a server that refuses unsigned `x-amz-*` headers, as AWS does. */
export function attacks(start: () => Promise<Bucket & { stop(): Promise<void> }>, strict: boolean, signs: Signs): void {
  let scene: Scene;
  let stop: () => Promise<void>;
  let before: string[];

  const snapshot = async () => {
    const { Contents = [] } = await scene.client.send(new ListObjectsV2Command({ Bucket: scene.bucket.bucket }));
    return Contents.map(({ Key, ETag }) => `${Key} ${ETag}`).filter((line) => !line.includes(".bucketcache/uploads/"));
  };

  beforeAll(async () => {
    const { stop: end, ...bucket } = await start();
    stop = end;
    const { bucket: Bucket, ...config } = bucket;
    const client = new S3Client(config);
    const rules: Partial<PresignHandlerOptions> = {
      authorize: ({ key }) => key.startsWith("cache/mine/") || key === "cache/",
      prefix: "cache/",
      maxBytes: 11 * MIB,
      maxTtl: "1h",
      maxBatch: 10,
      contentTypes: ["application/json", "text/plain", "image/*"],
      allowedOrigins: ["https://friend.test"],
    };
    const handler = makeHandler(bucket, rules, signs);
    scene = { bucket, handler, client };
    for (const Key of ["secret/plans", "cache/hers/diary", "cache/mine/old"]) {
      await client.send(new PutObjectCommand({ Bucket, Key, Body: `the first ${Key}` }));
    }
  });
  afterAll(async () => {
    scene.client.destroy();
    await stop();
  });
  beforeEach(async () => void (before = await snapshot()));
  // Whatever was answered: nothing may have changed.
  afterEach(async () => expect(await snapshot()).toEqual(before));

  for (const [title, table] of TABLES) {
    if (table === unsignedHeaderAttacks && !strict) continue;
    describe(title, () => {
      test.each(table.map((attack) => ({ name: attack[0], refusal: attack[1], run: attack[2] })))(
        "$name",
        async ({ refusal, run }) => {
          expect(refusal).toContain(await run(scene));
        },
      );
    });
  }
}
