/** One HTTP request to the handler: who may ask, whether it is a batch, and the answer to the whole of it. */
import { forEachPooled } from "../base/pool.js";
import type { ErrorCode } from "../errors.js";
import { Malformed, MAX_REQUEST_BYTES, VERSION, type PresignResult } from "../presigned/protocol.js";
import { answer } from "./answer.js";
import { parseBatch, readText } from "./messages.js";
import { corsHeaders, isWelcome, preflight } from "./origin.js";
import { BatchRefused, type Rules } from "./rules.js";
import type { HandlerTime } from "./time.js";

export interface HandlerSettings {
  rules: Rules;
  maxBatch: number;
  origins: ReadonlySet<string>;
  time: HandlerTime;
}

/** Refuses an HTTP request as a whole. */
class RequestRefused extends Error {
  readonly status: number;
  readonly code: ErrorCode;
  /** Members of the error beside code and message. */
  readonly details: { maxBatch?: number };

  constructor(status: number, code: ErrorCode, message: string, details: { maxBatch?: number } = {}) {
    super(message);
    this.status = status;
    this.code = code;
    this.details = details;
  }
}

export async function respond(settings: HandlerSettings, request: Request): Promise<Response> {
  const welcome = isWelcome(request, settings.origins);
  try {
    if (!welcome) throw new RequestRefused(403, "ERR_FORBIDDEN", "this origin may not ask here (allowedOrigins)");
    if (request.method === "OPTIONS") return preflight(request);
    settings.time.learn();
    const requests = await readBatch(request, settings.maxBatch);
    const results = await answerAll(settings.rules, request, requests);
    return json(200, { v: VERSION, now: settings.rules.clock.now() / 1_000, results }, corsHeaders(request));
  } catch (error) {
    if (!(error instanceof RequestRefused)) throw error;
    const { status, code, message, details } = error;
    const body = { v: VERSION, error: { code, message, ...details } };
    return json(status, body, welcome ? corsHeaders(request) : {});
  }
}

/** @throws RequestRefused for a request that is no batch of this protocol */
async function readBatch(request: Request, maxBatch: number): Promise<unknown[]> {
  checkForm(request);
  const requests = await parseBody(request);
  if (requests.length > maxBatch) {
    throw new RequestRefused(413, "ERR_TOO_LARGE", `more than ${maxBatch} requests in a batch`, { maxBatch });
  }
  return requests;
}

function checkForm(request: Request): void {
  if (request.method !== "POST") {
    throw new RequestRefused(405, "ERR_PROTOCOL", "this is a presign handler: use POST");
  }
  const type = request.headers.get("content-type") ?? "";
  const encoding = request.headers.get("content-encoding") ?? "identity";
  if (!/^application\/json\s*(?:;|$)/i.test(type) || encoding !== "identity") {
    throw new RequestRefused(415, "ERR_PROTOCOL", "the body must be application/json, not encoded");
  }
  if (request.bodyUsed) throw new RequestRefused(400, "ERR_PROTOCOL", "the body was read before it came here");
}

async function parseBody(request: Request): Promise<unknown[]> {
  let text: string | undefined;
  try {
    // A clone, so that `authorize` gets the request as it came: it may hash the body, or know the object.
    text = await readText(request.clone().body, MAX_REQUEST_BYTES);
    if (text !== undefined) return parseBatch(JSON.parse(text));
  } catch (error) {
    const message = error instanceof Malformed ? error.message : "the body is not JSON in UTF-8";
    throw new RequestRefused(400, "ERR_PROTOCOL", message);
  }
  // The other half of the clone would hold the connection.
  request.body?.cancel().catch(() => {});
  throw new RequestRefused(413, "ERR_TOO_LARGE", `the body exceeds ${MAX_REQUEST_BYTES} bytes`);
}

async function answerAll(rules: Rules, request: Request, requests: readonly unknown[]): Promise<PresignResult[]> {
  const results = new Array<PresignResult>(requests.length);
  try {
    await forEachPooled(requests, async (each, index) => {
      results[index] = await answer(rules, request, each);
    });
  } catch (error) {
    const isUnknownClient = error instanceof BatchRefused && error.status === 401;
    if (isUnknownClient) throw new RequestRefused(401, "ERR_CREDENTIALS", "sign in first");
    throw new RequestRefused(429, "ERR_UNAVAILABLE", "too many requests");
  }
  return results;
}

function json(status: number, value: unknown, headers: Record<string, string>): Response {
  return new Response(JSON.stringify(value), {
    status,
    headers: {
      "content-type": "application/json",
      "cache-control": "no-store",
      "x-content-type-options": "nosniff",
      ...(status === 405 && { allow: "POST, OPTIONS" }),
      ...headers,
    },
  });
}
