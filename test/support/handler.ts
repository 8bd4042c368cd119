import { startDevServer } from "bucketcache/dev";
import { createPresignHandler, type PresignHandlerOptions } from "bucketcache/handler";
import { s3Store } from "bucketcache/s3";
import type { GrantResult, PresignResult } from "../../src/presigned/protocol.js";

export const HANDLER_URL = "https://app.test/presign";

export type Handler = (request: Request) => Promise<Response>;

/** Options of a bucket, as they spread into `s3Store`. */
export interface Bucket {
  bucket: string;
  endpoint: string;
  region: string;
  forcePathStyle: true;
  credentials: { accessKeyId: string; secretAccessKey: string };
}

export async function devBucket(): Promise<Bucket & { stop(): Promise<void> }> {
  const { close, ...server } = await startDevServer({ buckets: ["test", "other"] });
  return { ...server, bucket: "test", stop: close };
}

export function makeHandler(bucket: Bucket, options: Partial<PresignHandlerOptions> = {}): Handler {
  return createPresignHandler({ store: s3Store(bucket), authorize: () => true, ...options });
}

/** An HTTP request as a client without a browser sends it; `init` overrides. */
export function post(requests: unknown, init: RequestInit = {}, url = HANDLER_URL): Request {
  return new Request(url, {
    method: "POST",
    body: JSON.stringify({ v: 1, requests }),
    ...init,
    headers: { "content-type": "application/json", ...(init.headers as Record<string, string>) },
  });
}

export async function ask(handler: Handler, ...requests: unknown[]): Promise<PresignResult[]> {
  const response = await handler(post(requests));
  if (response.status !== 200) throw new Error(`the handler answered ${response.status}: ${await response.text()}`);
  return ((await response.json()) as { results: PresignResult[] }).results;
}

/** The one result, which must be no error. */
export async function granted<T = GrantResult>(handler: Handler, request: unknown): Promise<T> {
  const [result] = await ask(handler, request);
  if (result === undefined || "error" in result) throw new Error(`refused: ${JSON.stringify(result)}`);
  return result as T;
}

/** The code of the one result, which must be an error. */
export async function refused(handler: Handler, request: unknown): Promise<string> {
  const [result] = await ask(handler, request);
  if (result === undefined || !("error" in result)) throw new Error(`granted: ${JSON.stringify(result)}`);
  return (result as { error: { code: string } }).error.code;
}

/** Sends what was granted; `change` is what an attacker does to it. */
export function redeem(
  grant: GrantResult,
  body?: string | Uint8Array<ArrayBuffer>,
  change: { method?: string; url?: (url: string) => string; headers?: Record<string, string | undefined> } = {},
): Promise<Response> {
  const headers = Object.fromEntries(
    Object.entries({ ...grant.headers, ...change.headers }).filter(
      // The length is what the body has; Node refuses to send another.
      ([name, value]) => value !== undefined && name !== "content-length",
    ),
  ) as Record<string, string>;
  return fetch(change.url?.(grant.url) ?? grant.url, {
    method: change.method ?? grant.method,
    headers,
    redirect: "manual",
    ...(body !== undefined && { body }),
  });
}

/** Uploads in parts by hand: what `complete` is then asked is the test's. */
export async function uploadParts(
  handler: Handler,
  key: string,
  sizes: readonly number[],
  create: Record<string, unknown> = {},
): Promise<{ uploadId: string; etags: string[] }> {
  const { uploadId } = await granted<{ uploadId: string }>(handler, { op: "create", key, ...create });
  const etags: string[] = [];
  for (const [index, size] of sizes.entries()) {
    const grant = await granted(handler, { op: "part", key, uploadId, partNumber: index + 1, size });
    const response = await redeem(grant, new Uint8Array(size).fill(index + 1));
    if (!response.ok) throw new Error(`part ${index + 1}: ${response.status} ${await response.text()}`);
    etags.push(response.headers.get("etag") as string);
  }
  return { uploadId, etags };
}
