import { createHash, createHmac } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { request as httpRequest } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { S3Client, type S3ClientConfig } from "@aws-sdk/client-s3";
import { startDevServer, type DevServer, type DevServerOptions } from "bucketcache/dev";
import { onTestFinished } from "vitest";

export const BUCKET = "bucketcache";

/** A server that ends with the test. */
export async function start(options: DevServerOptions = {}): Promise<DevServer> {
  const server = await startDevServer(options);
  onTestFinished(() => server.close());
  return server;
}

/** The AWS SDK's client for a server; it ends with the test. */
export function sdk(server: DevServer, options: S3ClientConfig = {}): S3Client {
  const { endpoint, region, forcePathStyle, credentials } = server;
  const client = new S3Client({ endpoint, region, forcePathStyle, credentials, maxAttempts: 1, ...options });
  onTestFinished(() => client.destroy());
  return client;
}

export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "bucketcache-dev-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** The two ways to keep data, for `describe.each`. */
export const BACKENDS = [
  { kept: "memory", options: (): DevServerOptions => ({}) },
  { kept: "a folder", options: (): DevServerOptions => ({ directory: temporaryFolder() }) },
];

export interface Answer {
  status: number;
  headers: Record<string, string | string[] | undefined>;
  body: Buffer;
  /** The text of the first element of that name. */
  xml(name: string): string | undefined;
}

export interface Parts {
  method?: string;
  /** As it goes over the wire, encoded. */
  path: string;
  query?: Record<string, string>;
  headers?: Record<string, string>;
  body?: string | Uint8Array;
}

/** Sends exactly what it is given: no normalisation of the path, no header of its own but `host` and lengths. */
export function send(server: { endpoint: string }, parts: Parts): Promise<Answer> {
  const { method = "GET", path, query = {}, headers = {}, body } = parts;
  const { hostname, port } = new URL(server.endpoint);
  const search = encodeQuery(query);
  return new Promise((resolve, reject) => {
    const outgoing = httpRequest(
      { hostname, port, method, path: search === "" ? path : `${path}?${search}`, headers, agent: false },
      (incoming) => {
        const chunks: Buffer[] = [];
        incoming.on("data", (chunk: Buffer) => chunks.push(chunk));
        incoming.on("error", reject);
        incoming.on("end", () => {
          const content = Buffer.concat(chunks);
          resolve({
            status: incoming.statusCode ?? 0,
            headers: incoming.headers,
            body: content,
            xml: (name) => new RegExp(`<${name}>([^<]*)</${name}>`).exec(content.toString())?.[1],
          });
        });
      },
    );
    outgoing.on("error", reject);
    outgoing.end(body);
  });
}

export interface SigningOptions {
  /** Value of `x-amz-content-sha256`. Default: the hash of the body. */
  payload?: string;
  date?: Date;
  accessKeyId?: string;
  secretAccessKey?: string;
  region?: string;
  /** Headers that are sent and not signed. */
  unsigned?: Record<string, string>;
  expires?: number;
  /** Says the time in `Date` and not in `x-amz-date`. */
  plainDate?: boolean;
}

export function encode(text: string): string {
  return encodeURIComponent(text).replace(/[!'()*]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`);
}

function encodeQuery(query: Record<string, string>): string {
  return Object.entries(query)
    .map(([name, value]) => `${encode(name)}=${encode(value)}`)
    .sort()
    .join("&");
}

export const sha256 = (data: string | Uint8Array): string => createHash("sha256").update(data).digest("hex");
const hmac = (key: string | Buffer, text: string): Buffer => createHmac("sha256", key).update(text).digest();

/** Key, time and scope of a signature, which signing chunks needs again. */
export interface SigningContext {
  key: Buffer;
  stamp: string;
  scope: string;
  signature: string;
}

function derive(
  server: DevServer,
  options: SigningOptions,
): Omit<SigningContext, "signature"> & { credential: string } {
  const { date = new Date(), region = server.region } = options;
  const stamp = date.toISOString().replace(/[-:]|\.\d+/g, "");
  const day = stamp.slice(0, 8);
  const scope = `${day}/${region}/s3/aws4_request`;
  const secret = options.secretAccessKey ?? server.credentials.secretAccessKey;
  const key = hmac(hmac(hmac(hmac(`AWS4${secret}`, day), region), "s3"), "aws4_request");
  return { key, stamp, scope, credential: `${options.accessKeyId ?? server.credentials.accessKeyId}/${scope}` };
}

function signatureOf(
  { key, stamp, scope }: Omit<SigningContext, "signature">,
  parts: Parts,
  headers: Record<string, string>,
  payload: string,
): { names: string; signature: string } {
  const sorted = Object.entries(headers).sort(([a], [b]) => (a < b ? -1 : 1));
  const names = sorted.map(([name]) => name).join(";");
  const lines = sorted.map(([name, value]) => `${name}:${value.trim()}\n`).join("");
  const canonical = [parts.method ?? "GET", parts.path, encodeQuery(parts.query ?? {}), lines, names, payload].join(
    "\n",
  );
  const text = `AWS4-HMAC-SHA256\n${stamp}\n${scope}\n${sha256(canonical)}`;
  return { names, signature: hmac(key, text).toString("hex") };
}

/** SigV4 in headers: a second implementation, so that the server's is not its own judge. */
export function sign(
  server: DevServer,
  parts: Parts,
  options: SigningOptions = {},
): Parts & { context: SigningContext } {
  const { credential, ...derived } = derive(server, options);
  const payload = options.payload ?? sha256(parts.body ?? "");
  const host = parts.headers?.["host"] ?? new URL(server.endpoint).host;
  const date: Record<string, string> = options.plainDate
    ? { date: (options.date ?? new Date()).toUTCString() }
    : { "x-amz-date": derived.stamp };
  const headers = { ...parts.headers, ...date, host, "x-amz-content-sha256": payload };
  const { names, signature } = signatureOf(derived, parts, headers, payload);
  const authorization = `AWS4-HMAC-SHA256 Credential=${credential}, SignedHeaders=${names}, Signature=${signature}`;
  return {
    ...parts,
    headers: { ...headers, ...options.unsigned, authorization },
    context: { ...derived, signature },
  };
}

/** SigV4 in the query: a presigned request. */
export function presign(
  server: DevServer,
  parts: Parts,
  options: SigningOptions = {},
): Parts & { query: Record<string, string> } {
  const { credential, ...derived } = derive(server, options);
  const headers = { ...parts.headers, host: parts.headers?.["host"] ?? new URL(server.endpoint).host };
  const query: Record<string, string> = {
    ...parts.query,
    "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
    "X-Amz-Credential": credential,
    "X-Amz-Date": derived.stamp,
    "X-Amz-Expires": String(options.expires ?? 300),
    "X-Amz-SignedHeaders": Object.keys(headers).sort().join(";"),
  };
  const { signature } = signatureOf(derived, { ...parts, query }, headers, options.payload ?? "UNSIGNED-PAYLOAD");
  return { ...parts, headers: { ...headers, ...options.unsigned }, query: { ...query, "X-Amz-Signature": signature } };
}

/** Signs and sends. */
export function call(server: DevServer, parts: Parts, options?: SigningOptions): Promise<Answer> {
  return send(server, sign(server, parts, options));
}
