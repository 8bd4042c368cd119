/**
 * The data plane: reads and writes of one object as signed HTTP requests. Who signs (a key at hand, a handler far away)
 * and how requests travel are the plane's; what the answers mean is decided here, once.
 */
import { begin, type Begun } from "./first-part.js";
import { Download } from "./download.js";
import { isBucketCacheError } from "../errors.js";
import { OCTET_STREAM } from "../base/media-type.js";
import { hasMarker, METADATA_NAMES } from "../entry/entry.js";
import type { WriteCondition } from "../types.js";
import { uploadParts } from "./upload-parts.js";
import { conditionOf, type MultipartUpload, type PutOperation } from "./operations.js";
import { corsRule, metadataHeader } from "./header-names.js";
import { MAX_PARTS } from "./limits.js";
import { perform, sizeOf, type Plane } from "./perform.js";
import { failure, type Purpose } from "./refusal.js";
import { LIMITS } from "./retry.js";
import { checkRange, rangeHeader, sizeOfWhole } from "../base/range.js";
import { isBrowser } from "../base/runtime.js";
import type { Incoming } from "./transport.js";
import type { Bytes, CallOptions, ObjectHead, ObjectStore, PutOptions, WrittenObject } from "../types.js";

export interface GetOptions extends CallOptions {
  range?: { offset: number; length?: number };
  ifNoneMatch?: string;
  /** With `ifNoneMatch`: an object of the same ETag and another time is read again, since only bytes make an ETag. */
  lastModified?: Date | undefined;
}

/** An object, with its body made when first asked for. */
class Found implements ObjectHead {
  size: number;
  readonly etag: string;
  readonly lastModified: Date;
  readonly contentType: string;
  readonly metadata: Record<string, string>;
  readonly now: Date | undefined;
  readonly versionId: string | undefined;
  readonly #download: Download;
  #body: ReadableStream<Bytes> | undefined;

  constructor(head: ObjectHead, download: Download) {
    this.size = head.size;
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
    const all = await this.#download.all(maxBytes);
    if (Number.isNaN(this.size)) this.size = all.byteLength;
    return all;
  }
}

export type ObjectClient = Pick<ObjectStore, "head" | "delete"> & {
  put(
    key: string,
    body: Uint8Array | Blob | ReadableStream<Uint8Array>,
    options: PutOptions & Pick<PutOperation, "requested">,
  ): Promise<WrittenObject>;
  get(key: string, options?: GetOptions): ReturnType<ObjectStore["get"]>;
};

const MIB = 1 << 20;

/** A body of known bytes is cut up only from so many parts: cutting a stream saves memory, cutting bytes only time. */
const PARTS_WORTH_CUTTING = 8;

export function objectClient(plane: Plane): ObjectClient {
  const { name: store, clock, limits = LIMITS } = plane;
  /** False once the store answered 501 to a condition. */
  let conditions = true;

  function headOf(response: Incoming, key: string): ObjectHead {
    const modified = response.header("last-modified");
    const etag = response.header("etag");
    const metadata = response.metadata();
    if (hasMarker(response.header("cache-control"))) {
      let hidden = metadata["entry"] === undefined ? "the metadata of the entry" : "";
      // Stores send an ETag with every object. A page that sees none sees not all, and what it lacks may be there.
      if (hidden === "" && etag === undefined && isBrowser()) {
        const unseen = METADATA_NAMES.filter((name) => metadata[name] === undefined);
        if (unseen.length > 0) hidden = `etag, and perhaps ${unseen.map(metadataHeader).join(" and ")}`;
      }
      if (hidden !== "") {
        response.cancel();
        throw failure("ERR_CORS", `the answer of ${store} hides ${hidden}. ${corsRule()}`, { store, key });
      }
    }
    return {
      // NaN where a proxy sends chunks and tells no length: it is known when all has been read.
      size: sizeOfWhole(response.header("content-range")) ?? Number(response.header("content-length") ?? NaN),
      etag: etag ?? "",
      lastModified: new Date(modified ?? NaN),
      contentType: response.header("content-type") ?? OCTET_STREAM,
      metadata,
      now: clock.known ? new Date(clock.now()) : undefined,
      versionId: response.header("x-amz-version-id"),
    };
  }

  async function get(key: string, options: GetOptions = {}): ReturnType<ObjectStore["get"]> {
    const { range, ifNoneMatch, signal } = options;
    checkRange(range);
    const start = range?.offset ?? 0;
    const purpose: Purpose = { store, key, action: "s3:GetObject" };
    const sign = (renew: boolean) => plane.sign({ op: "get", key }, renew, signal);

    const reopen = (head: ObjectHead, offset: number, end: number) =>
      perform<Incoming>(plane, {
        purpose,
        sign,
        signal,
        headers: { range: rangeHeader({ offset, length: end - offset + 1 }) },
        accept(response) {
          const now = headOf(response, key);
          if (response.status === 206 && now.etag === head.etag && Object.is(+now.lastModified, +head.lastModified))
            return response;
          response.cancel();
          throw failure("ERR_CONFLICT", "the object changed while it was read: read it again", purpose);
        },
      });

    return perform<Awaited<ReturnType<ObjectStore["get"]>>>(plane, {
      purpose,
      sign,
      signal,
      headers: {
        ...(range !== undefined && { range: rangeHeader(range) }),
        ...(ifNoneMatch !== undefined && { "if-none-match": ifNoneMatch }),
      },
      excuse: (answer) => (answer.code === "NoSuchKey" ? { value: undefined } : undefined),
      accept(response, signed) {
        if (response.status === 304) {
          response.cancel();
          const modified = Date.parse(response.header("last-modified") ?? "");
          if (options.lastModified === undefined || !(Math.abs(modified - +options.lastModified) >= 1_000))
            return "not-modified";
          const { ifNoneMatch: _, ...rest } = options;
          return get(key, rest);
        }
        const head = headOf(response, key);
        if (range !== undefined && response.status !== 206) {
          response.cancel();
          throw failure("ERR_PROTOCOL", `${store} ignored the range that was asked for`, purpose);
        }
        const announced = response.header("content-length");
        // Bytes that the runtime decodes on their way have another length, and no ranges.
        const encoding = response.header("content-encoding") ?? "identity";
        const decoded = DECODED.test(signed.url);
        if (decoded) {
          if (range !== undefined) {
            response.cancel();
            throw failure("ERR_UNSUPPORTED", "this grant undoes the compression, and so knows no ranges", purpose);
          }
          delete head.metadata["compressed"];
          // Known when it has been read.
          head.size = NaN;
        }
        const plain = encoding === "identity" && !decoded;
        const expected = plain && announced !== undefined ? Number(announced) : undefined;
        const end = (expected ?? 0) - 1;
        const found = new Found(
          head,
          new Download(
            response,
            expected,
            (offset, last = end) => reopen(head, start + offset, start + last),
            purpose,
            limits,
            signal,
          ),
        );
        if (range === undefined || response.header("content-range") !== undefined) return found;
        // A page sees no Content-Range unless the bucket's CORS rule exposes it.
        return stat(key, options).then(
          (whole) => {
            found.size = whole?.size ?? NaN;
            return found;
          },
          (error: unknown) => {
            response.cancel();
            throw error;
          },
        );
      },
    });
  }

  function stat(key: string, options: CallOptions = {}): Promise<ObjectHead | undefined> {
    const { signal } = options;
    return perform<ObjectHead | undefined>(plane, {
      purpose: { store, key, action: "s3:GetObject" },
      sign: (renew) => plane.sign({ op: "head", key }, renew, signal),
      signal,
      excuse: (answer) => (answer.status === 404 ? { value: undefined } : undefined),
      accept(response) {
        const found = headOf(response, key);
        response.cancel();
        return found;
      },
    });
  }

  /** Runs a conditional write, and again without the condition where the store knows none. */
  async function conditional<T>(condition: WriteCondition, run: (condition: WriteCondition) => Promise<T>): Promise<T> {
    if (!conditions) return run({});
    try {
      return await run(condition);
    } catch (error) {
      if (!isBucketCacheError(error) || error.status !== 501 || Object.keys(condition).length === 0) throw error;
      const result = await run({});
      conditions = false;
      return result;
    }
  }

  function putWhole(operation: PutOperation, body: Uint8Array | Blob, signal: AbortSignal | undefined) {
    const { key } = operation;
    const { ifMatch, ifNoneMatch, ...fields } = operation;
    const nonces = new Set<string>();
    return conditional(conditionOf(operation), (condition) =>
      perform<WrittenObject>(plane, {
        purpose: { store, key, action: "s3:PutObject" },
        async sign(renew) {
          const signed = await plane.sign({ ...fields, ...condition }, renew, signal);
          nonces.add(signed.headers[metadataHeader("entry")] ?? "");
          return signed;
        },
        body,
        signal,
        // The attempt before may have been the one that wrote, and its answer lost.
        async excuse(answer, _, again) {
          if (!again || answer.status !== 412) return undefined;
          const found = await stat(key, { signal });
          const entry = found?.metadata["entry"];
          if (!entry || !nonces.has(entry)) return undefined;
          return { value: writtenObject(found!.etag, +found!.lastModified) };
        },
        accept(response) {
          response.cancel();
          // To the second: it shows when somebody writes the very same bytes later. Pages cannot see it.
          return writtenObject(response.header("etag") ?? "", Date.parse(response.header("date") ?? ""));
        },
      }),
    );
  }

  async function put(
    key: string,
    body: Uint8Array | Blob | ReadableStream<Uint8Array>,
    options: PutOptions & Pick<PutOperation, "requested">,
  ): Promise<WrittenObject> {
    const { signal, onProgress, waitUntil: _, ...fields } = options;
    const operation: PutOperation = { ...fields, op: "put", key };
    const known = body instanceof Uint8Array || isBlob(body);
    let partSize = plane.partSize ?? (isBrowser() ? 5 : 8) * MIB;
    signal?.throwIfAborted();
    let source = body as Uint8Array | Blob | Begun;
    if (known) {
      const size = (operation.size = sizeOf(body));
      const cut = body instanceof Uint8Array ? partSize * (plane.partsWorthCutting ?? PARTS_WORTH_CUTTING) : partSize;
      partSize = Math.max(partSize, Math.ceil(size / MAX_PARTS));
      if (size <= cut || options.sha256 !== undefined) return putBytes(body);
    } else if (typeof body?.getReader === "function") {
      const begun = await begin(body, partSize, signal);
      if (begun instanceof Uint8Array) return putBytes(begun);
      source = begun;
    } else {
      throw new TypeError("a store takes a Uint8Array, a Blob or a ReadableStream of bytes");
    }
    const upload = plane.upload(operation);
    const complete: MultipartUpload["complete"] = (uploadId, parts, condition, end) =>
      conditional(condition, (left) => upload.complete(uploadId, parts, left, end));
    return uploadParts(plane, { ...upload, complete }, source, {
      key,
      partSize,
      maxParts: MAX_PARTS,
      condition: conditionOf(operation),
      signal,
      onProgress,
      total: operation.size,
    });

    async function putBytes(bytes: Uint8Array | Blob) {
      const size = sizeOf(bytes);
      const result = await putWhole({ ...operation, size }, bytes, signal);
      onProgress?.({ loaded: size, total: size });
      return result;
    }
  }

  async function remove(key: string, options: Parameters<ObjectStore["delete"]>[1] = {}): Promise<void> {
    const { signal, ifMatch, versionId } = options;
    await conditional(ifMatch === undefined ? {} : { ifMatch }, (condition) =>
      perform<void>(plane, {
        purpose: { store, key, action: versionId === undefined ? "s3:DeleteObject" : "s3:DeleteObjectVersion" },
        sign: (renew) => plane.sign({ op: "delete", key, versionId, ifMatch: condition.ifMatch }, renew, signal),
        signal,
        excuse: (answer) =>
          answer.code === "NoSuchKey" || answer.code === "NoSuchVersion" ? { value: undefined } : undefined,
        accept: (response) => response.cancel(),
      }),
    );
  }

  return { get, head: stat, put, delete: remove };
}

/** `modified` is in Unix milliseconds, NaN where the answer hides it. */
function writtenObject(etag: string, modified: number): WrittenObject {
  return { etag, ...(!Number.isNaN(modified) && { lastModified: new Date(modified) }) };
}

const DECODED = /[?&]response-content-encoding=gzip(?:&|$)/;

function isBlob(body: unknown): body is Blob {
  const { size, slice } = (body ?? {}) as Partial<Blob>;
  return typeof size === "number" && typeof slice === "function";
}
