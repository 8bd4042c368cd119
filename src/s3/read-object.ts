/** Reads of one object: GET with its ranges and conditions, and HEAD. */
import { answersRange, checkRange, rangeHeader } from "../base/range.js";
import type { BucketCacheError, ErrorCode } from "../errors.js";
import type { ByteRange, Bytes, CallOptions, FoundObject, ObjectHead, SignedRequest } from "../types.js";
import type { ObjectConnection, S3Connection } from "./connection.js";
import { Download } from "./download.js";
import { failure, type Purpose } from "./failure.js";
import { contentLength, publicHead, readHead, type AnsweredHead } from "./object-head.js";
import { conditionHeaders } from "./operations.js";
import { perform } from "./perform.js";
import { isAbsent, isSignatureRefused, isUnexplainedError } from "./refusal.js";
import { LIMITS } from "./retry.js";
import type { Incoming } from "./transport.js";

export interface GetOptions extends CallOptions {
  range?: ByteRange;
  ifNoneMatch?: string;
  /** With `ifNoneMatch`: an object of the same ETag and another time is read again, since only bytes make an ETag. */
  lastModified?: Date | undefined;
}

export type GetResult = FoundObject | "not-modified" | undefined;

/** Times of the same write differ by less than this, since headers have whole seconds. */
const SAME_TIME_MS = 1_000;

/** The sign of a URL that lets the runtime undo gzip, as `plainRead` makes it. */
const DECODES = /[?&]response-content-encoding=gzip(?:&|$)/;

/** One read, and the requests that belong to it. */
interface Read {
  connection: ObjectConnection;
  key: string;
  options: GetOptions;
  purpose: Purpose;
  sign(renew: boolean): Promise<SignedRequest>;
}

/** @throws TypeError for a range that names no bytes */
export async function getObject(
  connection: ObjectConnection,
  key: string,
  options: GetOptions = {},
): Promise<GetResult> {
  checkRange(options.range);
  const result = await readOnce(connection, key, options);
  if (result !== "refused") return result;
  // A HEAD overrides nothing. If it is refused as well, its error is the one that counts.
  await headObject(connection, key, options);
  connection.capabilities.learnOverrides(false);
  return (await readOnce(connection, key, options)) as GetResult;
}

/** Reads an object. `"refused"`: the store may not know that a GET can override headers of its answer. */
async function readOnce(
  connection: ObjectConnection,
  key: string,
  options: GetOptions,
): Promise<GetResult | "refused"> {
  const { capabilities, send } = connection;
  const { range, ifNoneMatch, signal } = options;
  const purpose = purposeOf(connection, key);
  const asIs = send.decodesNothing === true || capabilities.overridesHeaders === false;
  const sign = (renew: boolean) => connection.sign({ op: "get", key, ...(asIs && { asIs }) }, renew, signal);
  const read: Read = { connection, key, options, purpose, sign };
  return perform<GetResult | "refused">(connection, {
    purpose,
    sign,
    signal,
    headers: { ...(range !== undefined && { range: rangeHeader(range) }), ...conditionHeaders({ ifNoneMatch }) },
    recover(refusal) {
      if (isAbsent(refusal)) return { value: undefined };
      const isUnclear = !asIs && capabilities.overridesHeaders === undefined && isSignatureRefused(refusal);
      return isUnclear ? { value: "refused" } : undefined;
    },
    accept(response, signed) {
      if (!asIs) capabilities.learnOverrides(true);
      return response.status === 304 ? acceptUnchanged(read, response) : acceptObject(read, response, signed);
    },
  });
}

export async function headObject(
  connection: ObjectConnection,
  key: string,
  options: CallOptions = {},
): Promise<ObjectHead | undefined> {
  const { signal } = options;
  const { capabilities } = connection;
  try {
    const found = await perform<ObjectHead | "absent">(connection, {
      purpose: purposeOf(connection, key),
      sign: (renew) => connection.sign({ op: "head", key }, renew, signal),
      signal,
      recover: (refusal) => (isAbsent(refusal) ? { value: "absent" } : undefined),
      accept: (response) => acceptHead(connection, key, response),
    });
    if (found !== "absent") return found;
    if (capabilities.isBucketSeen) return undefined;
  } catch (error) {
    if (capabilities.isBucketSeen || !isUnexplainedError(error)) throw error;
  }
  // The answer to a HEAD has no body: 404 may be about the bucket, and 403 about the credentials.
  return headByGet(connection, key, signal);
}

/** Asks for one byte where a HEAD was refused and no answer has shown the bucket yet: the refusal of a GET says why. */
async function headByGet(
  connection: ObjectConnection,
  key: string,
  signal: AbortSignal | undefined,
): Promise<ObjectHead | undefined> {
  return perform<ObjectHead | undefined>(connection, {
    purpose: purposeOf(connection, key),
    sign: (renew) => connection.sign({ op: "get", key, asIs: true }, renew, signal),
    signal,
    headers: { range: rangeHeader({ offset: 0, length: 1 }) },
    recover: (refusal) => (isAbsent(refusal) ? { value: undefined } : undefined),
    accept: (response) => acceptHead(connection, key, response),
  });
}

function acceptHead(connection: ObjectConnection, key: string, response: Incoming): ObjectHead {
  const head = readHead(connection, key, response);
  response.cancel();
  return publicHead(head);
}

function purposeOf(connection: ObjectConnection, key: string): Purpose {
  return { store: connection.name, key, action: "s3:GetObject" };
}

/** Takes a 304: the object has the same bytes. With another time it may have other metadata, and is read again. */
function acceptUnchanged({ connection, key, options }: Read, response: Incoming): Promise<GetResult> | "not-modified" {
  response.cancel();
  const { ifNoneMatch: _, lastModified, ...unconditional } = options;
  const modified = Date.parse(response.header("last-modified") ?? "");
  if (lastModified === undefined || !(Math.abs(modified - +lastModified) >= SAME_TIME_MS)) return "not-modified";
  return getObject(connection, key, unconditional);
}

function acceptObject(read: Read, response: Incoming, signed: SignedRequest): FoundObject | Promise<FoundObject> {
  const { connection, key, purpose } = read;
  const { range } = read.options;
  const head = readHead(connection, key, response);
  checkPart(read, range, response);
  const isDecoded = DECODES.test(signed.url);
  if (isDecoded) {
    if (range !== undefined) {
      const message =
        "this grant makes the store decompress the body, so byte ranges are not available: read all of it";
      throw refuse(response, "ERR_UNSUPPORTED", message, purpose);
    }
    delete head.metadata["compressed"];
    head.size = undefined;
  }
  const found = new S3Object(head, downloadOf(read, head, response, isDecoded));
  // A page sees no `Content-Range` unless the bucket's CORS rule exposes it.
  const isSizeHidden = range !== undefined && response.header("content-range") === undefined;
  return isSizeHidden ? withSizeOfWhole(read, found, response) : found;
}

/** @throws BucketCacheError `ERR_PROTOCOL` for other bytes than those that were asked for */
function checkPart({ connection, purpose }: Read, range: ByteRange | undefined, response: Incoming): void {
  const { store } = purpose;
  if (range === undefined) {
    if (response.status !== 206) return;
    throw refuse(
      response,
      "ERR_PROTOCOL",
      `${store} answered with a part of the object, and all was asked for`,
      purpose,
    );
  }
  if (response.status !== 206) {
    throw refuse(response, "ERR_PROTOCOL", `${store} ignored the range that was asked for`, purpose);
  }
  // The length is that of encoded bytes, where they are encoded.
  const bodyBytes = isEncoded(connection, response) ? undefined : contentLength(response);
  if (answersRange(range, response.header("content-range"), bodyBytes)) return;
  throw refuse(response, "ERR_PROTOCOL", `${store} answered with another range than was asked for`, purpose);
}

/** Whether the bytes that arrive are others than those that were announced. */
function isEncoded({ send }: S3Connection, response: Incoming): boolean {
  return send.decodesNothing !== true && (response.header("content-encoding") ?? "identity") !== "identity";
}

function refuse(response: Incoming, code: ErrorCode, message: string, purpose: Purpose): BucketCacheError {
  response.cancel();
  return failure(code, message, purpose);
}

function downloadOf(read: Read, head: AnsweredHead, response: Incoming, isDecoded: boolean): Download {
  const { connection, purpose, options } = read;
  const start = options.range?.offset ?? 0;
  return new Download(response, {
    purpose,
    limits: connection.limits ?? LIMITS,
    signal: options.signal,
    // The announced length is that of the encoded bytes.
    size: isDecoded || isEncoded(connection, response) ? undefined : contentLength(response),
    open: (offset, last) => openRange(read, head, start + offset, start + last),
  });
}

/** Asks for a range of the very object that is being read. */
function openRange(read: Read, head: AnsweredHead, start: number, last: number): Promise<Incoming> {
  const { connection, key, purpose, sign } = read;
  const range: ByteRange = { offset: start, length: last - start + 1 };
  return perform<Incoming>(connection, {
    purpose,
    sign,
    signal: read.options.signal,
    headers: { range: rangeHeader(range) },
    accept(response) {
      const now = readHead(connection, key, response);
      const isSame = now.etag === head.etag && Object.is(+now.lastModified, +head.lastModified);
      if (isSame) {
        checkPart(read, range, response);
        return response;
      }
      throw refuse(response, "ERR_CONFLICT", "the object changed while it was read: read it again", purpose);
    },
  });
}

/** Asks for the size of the whole object, which the answer with a range did not tell. */
async function withSizeOfWhole(read: Read, found: FoundObject, response: Incoming): Promise<FoundObject> {
  try {
    const whole = await headObject(read.connection, read.key, read.options);
    found.size = whole?.size ?? NaN;
    return found;
  } catch (error) {
    response.cancel();
    throw error;
  }
}

/** An object as it was found. Its body is read when it is first asked for. A literal with a getter costs 50 µs more. */
class S3Object implements FoundObject {
  size: number;
  readonly etag: string;
  readonly lastModified: Date;
  readonly contentType: string;
  readonly metadata: Record<string, string>;
  readonly now: Date | undefined;
  readonly versionId: string | undefined;
  readonly #download: Download;
  #body: ReadableStream<Bytes> | undefined;

  constructor(head: AnsweredHead, download: Download) {
    this.size = head.size ?? NaN;
    this.etag = head.etag;
    this.lastModified = head.lastModified;
    this.contentType = head.contentType;
    this.metadata = head.metadata;
    this.now = head.now;
    this.versionId = head.versionId;
    this.#download = download;
  }

  get body(): ReadableStream<Bytes> {
    return (this.#body ??= this.#download.stream());
  }

  async bytes(maxBytes: number): Promise<Bytes> {
    const all = await this.#download.readAll(maxBytes);
    if (Number.isNaN(this.size)) this.size = all.byteLength;
    return all;
  }
}
