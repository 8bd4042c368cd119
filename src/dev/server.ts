import { randomBytes } from "node:crypto";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { corsHeaders, preflight } from "./cors.js";
import { S3Error } from "./errors.js";
import type { Reply } from "./reply.js";
import { S3Request } from "./request.js";
import { findOperation } from "./router.js";
import { authenticate, type Verifier } from "./sigv4.js";
import type { BlobReader, Storage } from "./storage.js";
import { tag, xmlDocument } from "./xml.js";

/** Makes the HTTP server over a storage, not yet listening. `settled` waits for the requests under way. */
export function createS3Server(storage: Storage, verifier: Verifier): { server: Server; settled(): Promise<void> } {
  const running = new Set<Promise<void>>();
  const server = createServer(
    // Uploads may be as slow as they like; header values that come twice are seen, and fail their signature.
    { requestTimeout: 0, keepAliveTimeout: 60_000, joinDuplicateHeaders: true, highWaterMark: 256 * 1024 },
    (request, response) => {
      const work = serve(storage, verifier, request, response).catch(() => void response.destroy());
      running.add(work);
      void work.then(() => running.delete(work));
    },
  );
  return {
    server,
    async settled() {
      await Promise.all(running);
    },
  };
}

async function serve(
  storage: Storage,
  verifier: Verifier,
  raw: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const now = Date.now();
  let request: S3Request | undefined;
  let reply: Reply;
  try {
    request = new S3Request(raw);
    reply = await answer(storage, verifier, request, now);
  } catch (error) {
    reply = errorReply(error, request);
  }
  const bucket = request?.bucket === undefined ? undefined : storage.buckets.get(request.bucket);
  if (raw.method !== "OPTIONS") Object.assign(reply.headers, corsHeaders(raw, bucket));
  await send(raw, response, reply, now);
}

function answer(storage: Storage, verifier: Verifier, request: S3Request, now: number): Reply | Promise<Reply> {
  if (request.method === "OPTIONS") return preflight(request.raw, storage.buckets.get(request.bucket ?? ""));
  authenticate(request, verifier, now);
  request.checkKey();
  return findOperation(request)({ request, storage, region: verifier.region, now });
}

function errorReply(error: unknown, request: S3Request | undefined): Reply {
  const failure =
    error instanceof S3Error
      ? error
      : new S3Error("InternalError", `We encountered an internal error: ${String(error)}`);
  let inner = tag("Code", failure.code) + tag("Message", failure.message);
  // Line breaks stay as they are, so that people can read the text that was signed.
  for (const [name, value] of Object.entries(failure.details)) inner += tag(name, value).replaceAll("&#xa;", "\n");
  inner += tag("Resource", request?.canonicalPath);
  return {
    status: failure.status,
    headers: { "content-type": "application/xml", ...failure.headers },
    body: inner,
  };
}

async function send(request: IncomingMessage, response: ServerResponse, reply: Reply, now: number): Promise<void> {
  const { body, headers } = reply;
  const requestId = randomBytes(8).toString("hex").toUpperCase();
  headers["date"] = httpDate(now);
  headers["x-amz-request-id"] = requestId;
  headers["server"] = "bucketcache-dev";
  const isError = reply.status >= 400;
  const content =
    isError && typeof body === "string" ? xmlDocument("Error", body + tag("RequestId", requestId), false) : body;
  if (typeof content === "string") headers["content-length"] = String(Buffer.byteLength(content));
  else if (content === undefined && reply.status !== 204 && reply.status !== 304) headers["content-length"] ??= "0";
  response.writeHead(reply.status, headers);
  if (request.method === "HEAD" || content === undefined) response.end();
  else if (typeof content === "string" || Buffer.isBuffer(content)) response.end(content);
  else await sendBlobs(response, content);
}

async function sendBlobs(response: ServerResponse, reader: BlobReader): Promise<void> {
  try {
    for (let chunk = await reader.next(); chunk !== undefined; chunk = await reader.next()) {
      if (response.destroyed) return;
      if (!response.write(chunk)) await drained(response);
    }
    response.end();
  } finally {
    reader.close();
  }
}

/** Waits until the socket takes more, or is gone. */
function drained(response: ServerResponse): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      response.off("drain", done);
      response.off("close", done);
      resolve();
    };
    response.on("drain", done);
    response.on("close", done);
    if (response.destroyed) done();
  });
}

let dateText = "";
let dateSecond = NaN;

function httpDate(now: number): string {
  const second = Math.floor(now / 1000);
  if (second !== dateSecond) {
    dateSecond = second;
    dateText = new Date(now).toUTCString();
  }
  return dateText;
}
