import type { S3Client } from "@aws-sdk/client-s3";
import type { PresignResult } from "../../../src/presigned/protocol.js";
import { ask, type Bucket, type Handler } from "../handler.js";

export const MIB = 1 << 20;

/** The means of an attacker: a handler that lets it work on `cache/mine/…`, and a bucket with objects of others. */
export interface Scene {
  bucket: Bucket;
  handler: Handler;
  /** Client of the server, for its own uploads: it signs requests that the handler would refuse. */
  client: S3Client;
}

/** Resolves to what came back: the status of an HTTP answer, or the code of the one refused request. */
export type Attack = [
  name: string,
  refusal: readonly (number | string)[],
  run: (scene: Scene) => Promise<number | string>,
];

/** A write that the rules allow: attacks begin from here. */
export const PUT = { op: "put", key: "cache/mine/new", size: 5, contentType: "text/plain", ttl: 60 };

/** The code of a refused request, or `"granted"`. */
export async function outcome(handler: Handler, request: unknown): Promise<string> {
  const [result] = (await ask(handler, request)) as [PresignResult];
  return "error" in result ? result.error.code : "granted";
}
