/** Reads the messages of clients. Nothing in them is trusted, and no member that the protocol does not know is ignored. */
import { MAX_OBJECT_BYTES, MAX_PARTS } from "../s3/limits.js";
import { Malformed, VERSION, type PresignRequest } from "../presigned/protocol.js";

type Check = (value: unknown) => boolean;

const text =
  (pattern: RegExp): Check =>
  (value) =>
    typeof value === "string" && pattern.test(value);
const whole =
  (least: number, most: number): Check =>
  (value) =>
    Number.isSafeInteger(value) && (value as number) >= least && (value as number) <= most;

const DIGEST = /^[A-Za-z0-9+/]{43}=$/;
const ETAG = /^"[!#-~]{1,128}"$|^[\w.+/=-]{1,128}$/;
// Commas are refused, also in quotes: browsers take the last of several types.
const CONTENT_TYPE =
  /^[\w!#$&^.+-]{1,127}\/[\w!#$&^.+-]{1,127}(?: ?; ?[\w!#$&^.+-]{1,64}=(?:[\w!#$&^.+-]{1,128}|"[\w!#$&^.+/:;= -]{1,128}"))*$/;

const isPart: Check = (value) => {
  const { partNumber, etag } = (value ?? {}) as { partNumber?: unknown; etag?: unknown };
  return whole(1, MAX_PARTS)(partNumber) && (etag === undefined || etag === "" || text(ETAG)(etag));
};

const CHECKS: Record<string, Check> = {
  op: text(/^[a-z]{1,16}$/),
  // The handler checks the rules of keys.
  key: (value) => typeof value === "string" && value.length <= 1_024,
  ttl: (value) => typeof value === "number" && value > 0 && value < 1e12,
  size: whole(0, MAX_OBJECT_BYTES),
  contentType: (value) => text(CONTENT_TYPE)(value) && (value as string).length <= 512,
  codec: text(/^[A-Za-z*][\w!#$%&'*+.^`|~:/-]{0,63}$/),
  compressed: (value) => typeof value === "boolean",
  keyHash: text(DIGEST),
  sha256: text(DIGEST),
  ifMatch: text(ETAG),
  ifNoneMatch: (value) => value === "*",
  uploadId: text(/^[!-~]{1,4096}$/),
  partNumber: whole(1, MAX_PARTS),
  parts: (value) => whole(1, MAX_PARTS)(value) || (Array.isArray(value) && value.length > 0 && value.every(isPart)),
  cursor: text(/^[ -~]{1,4096}$/),
};

const REQUIRED: Record<string, readonly string[]> = {
  get: ["key"],
  head: ["key"],
  put: ["key", "size"],
  delete: ["key"],
  create: ["key"],
  part: ["key", "uploadId", "partNumber", "size"],
  complete: ["key", "uploadId"],
  abort: ["key", "uploadId"],
  list: ["key"],
};

/**
 * Reads one request of a batch, member by member. `null` counts as absent. A name that the protocol does not know is
 * refused, so that nobody relies on a member that has no effect.
 *
 * @throws Malformed for anything that is not a request of the protocol
 */
export function parseRequest(value: unknown): PresignRequest {
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw new Malformed("not an object");
  const request: Record<string, unknown> = {};
  for (const [name, member] of Object.entries(value)) {
    if (member === null) continue;
    const check = Object.hasOwn(CHECKS, name) ? CHECKS[name] : undefined;
    if (check === undefined) throw new Malformed(`${JSON.stringify(name.slice(0, 40))} is not part of the protocol`);
    if (!check(member)) throw new Malformed(`${name} is not valid`);
    request[name] = member;
  }
  const op = String(request["op"]);
  const required = Object.hasOwn(REQUIRED, op) ? REQUIRED[op] : undefined;
  if (required === undefined) throw new Malformed(`op must be one of ${Object.keys(REQUIRED).join(", ")}`);
  for (const name of required) if (request[name] === undefined) throw new Malformed(`${op} needs ${name}`);
  if (request["ifMatch"] !== undefined && request["ifNoneMatch"] !== undefined) {
    throw new Malformed("ifMatch and ifNoneMatch exclude each other");
  }
  return request as unknown as PresignRequest;
}

/** @throws Malformed for anything that is not a batch in this version of the protocol */
export function parseBatch(json: unknown): unknown[] {
  const { v, requests } = (json ?? {}) as { v?: unknown; requests?: unknown };
  if (v !== VERSION) throw new Malformed(`v must be ${VERSION}: this handler speaks no other version`);
  if (!Array.isArray(requests) || requests.length === 0) throw new Malformed("requests must be a non-empty array");
  return requests;
}

/**
 * Reads the text of a body, and stops as soon as it is too long.
 *
 * @returns undefined beyond `maxBytes`
 * @throws TypeError when it is not UTF-8
 */
export async function readText(body: ReadableStream<Uint8Array> | null, maxBytes: number): Promise<string | undefined> {
  const reader = body?.getReader();
  const decoder = new TextDecoder("utf-8", { fatal: true });
  let text = "";
  let size = 0;
  for (let chunk; (chunk = await reader?.read()) !== undefined && !chunk.done;) {
    size += chunk.value.byteLength;
    if (size > maxBytes) {
      reader?.cancel().catch(() => {});
      return undefined;
    }
    text += decoder.decode(chunk.value, { stream: true });
  }
  return text + decoder.decode();
}
