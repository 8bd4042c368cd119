/** Writes of one object: a PUT of the whole, or an upload in parts of what is larger. */
import { untilAborted } from "../base/abort.js";
import { lazy } from "../base/lazy.js";
import type { ObjectStore, PutOptions, SignedRequest, WriteCondition, WrittenObject } from "../types.js";
import type { ConditionalWrites } from "./conditional-writes.js";
import type { ObjectConnection } from "./connection.js";
import { failure, type Purpose } from "./failure.js";
import { metadataHeader } from "./header-names.js";
import { writtenEtag } from "./object-head.js";
import { MAX_PARTS } from "./limits.js";
import { conditionOf, type PutOperation } from "./operations.js";
import { perform } from "./perform.js";
import { headObject } from "./read-object.js";
import { isConditionFailed } from "./refusal.js";
import { sizeOf } from "./transport.js";

/** Bytes of known length are uploaded in parts only from this many parts on. */
const PARTS_WORTH_CUTTING = 8;

export type ObjectBody = Parameters<ObjectStore["put"]>[1];

export type S3PutOptions = PutOptions & Pick<PutOperation, "requested">;

/** Writes objects. The code of uploads in parts is loaded with the first body that may need it. */
export class ObjectWriter {
  readonly connection: ObjectConnection;
  readonly #conditions: ConditionalWrites;
  readonly #withLargeWrites = lazy(() => import("./large-write.js"));

  constructor(connection: ObjectConnection, conditions: ConditionalWrites) {
    this.connection = connection;
    this.#conditions = conditions;
  }

  /** @throws TypeError for a body that a store does not take */
  async put(key: string, body: ObjectBody, options: S3PutOptions): Promise<WrittenObject> {
    const { signal, onProgress: _, waitUntil: _waitUntil, ...fields } = options;
    const operation: PutOperation = { ...fields, op: "put", key };
    signal?.throwIfAborted();
    if (body instanceof Uint8Array || isBlob(body)) {
      operation.size = sizeOf(body);
      if (operation.size <= this.#largestWhole(body) || options.sha256 !== undefined) {
        return this.putWhole(operation, body, options);
      }
    } else if (typeof body?.getReader !== "function") {
      throw new TypeError("a store takes a Uint8Array, a Blob or a ReadableStream of bytes");
    }
    const { putLarge } = await this.#loadLargeWrites(body, signal);
    return putLarge(this, operation, body, options);
  }

  /** Writes a body by one PUT. `operation.size` is that of the body. */
  async putWhole(
    operation: PutOperation,
    body: Uint8Array | Blob,
    { signal, onProgress }: PutOptions,
  ): Promise<WrittenObject> {
    const { connection } = this;
    const { ifMatch: _, ifNoneMatch: _ifNoneMatch, ...fields } = operation;
    /** The `entry` metadata of all attempts. They tell the object that one of them wrote from any other. */
    const entries = new Set<string | undefined>();
    const purpose = this.#purpose(operation);
    const written = await this.runConditional(operation, signal, (condition) =>
      perform<WrittenObject>(connection, {
        purpose,
        async sign(renew) {
          const signed = await connection.sign({ ...fields, ...condition }, renew, signal);
          entries.add(signed.headers[metadataHeader("entry")]);
          return signed;
        },
        body,
        signal,
        // The attempt whose answer was lost may have been the write that now makes the condition fail.
        async recover(refusal, again) {
          if (!again || !isConditionFailed(refusal)) return undefined;
          const found = await headObject(connection, operation.key, { signal });
          const entry = found?.metadata["entry"];
          if (!entry || !entries.has(entry)) return undefined;
          return { value: writtenObject(found!.etag, +found!.lastModified) };
        },
        accept(response) {
          response.cancel();
          // The `Date` of the answer shows, to the second, when somebody writes the same bytes later. Pages cannot see it.
          return writtenObject(writtenEtag(response, purpose), Date.parse(response.header("date") ?? ""));
        },
      }),
    );
    onProgress?.({ loaded: sizeOf(body), total: sizeOf(body) });
    return written;
  }

  /** Writes a part of an upload, and resolves to its ETag. */
  putPart(
    operation: PutOperation,
    sign: (renew: boolean) => Promise<SignedRequest>,
    body: Uint8Array | Blob,
    signal: AbortSignal,
  ): Promise<string> {
    return perform<string>(this.connection, {
      purpose: this.#purpose(operation),
      sign,
      body,
      signal,
      accept(response) {
        response.cancel();
        // As the store names it, since the request that completes the upload repeats it. No store takes a weak one there.
        return (response.header("etag") ?? "").replace(/^W\//, "");
      },
    });
  }

  /** Runs the last step of a write with the condition of its operation, where the store knows conditions. */
  runConditional<T>(
    operation: PutOperation,
    signal: AbortSignal | undefined,
    send: (condition: WriteCondition) => Promise<T>,
  ): Promise<T> {
    const { key } = operation;
    return this.#conditions.run({ method: "PUT", key, condition: conditionOf(operation), signal, send });
  }

  /** Returns the size of the parts of a body, whose size is undefined where it is not known. */
  partSizeFor(size = 0): number {
    return Math.max(this.connection.partSize, Math.ceil(size / MAX_PARTS));
  }

  /** @throws BucketCacheError `ERR_TOO_LARGE` for more parts than S3 takes */
  checkPartNumber(partNumber: number, operation: PutOperation): void {
    if (partNumber <= MAX_PARTS) return;
    const limit = `${MAX_PARTS} parts of ${this.connection.partSize} bytes`;
    const message = `the stream is larger than ${limit}: set a larger partSize`;
    throw failure("ERR_TOO_LARGE", message, this.#purpose(operation));
  }

  async #loadLargeWrites(body: ObjectBody, signal: AbortSignal | undefined) {
    try {
      return await untilAborted(
        this.#withLargeWrites(async (largeWrites) => largeWrites),
        signal,
      );
    } catch (error) {
      if ("getReader" in body) body.cancel(error).catch(() => {});
      throw error;
    }
  }

  /** Returns the size up to which a body is written by one PUT. Cutting a stream saves memory, cutting bytes only time. */
  #largestWhole(body: Uint8Array | Blob): number {
    const { partSize, partsWorthCutting = PARTS_WORTH_CUTTING } = this.connection;
    return body instanceof Uint8Array ? partSize * partsWorthCutting : partSize;
  }

  #purpose({ key }: PutOperation): Purpose {
    return { store: this.connection.name, key, action: "s3:PutObject" };
  }
}

/** @param modified Unix milliseconds; NaN where the answer hides the time. */
function writtenObject(etag: string, modified: number): WrittenObject {
  return { etag, ...(!Number.isNaN(modified) && { lastModified: new Date(modified) }) };
}

function isBlob(body: unknown): body is Blob {
  const { size, slice } = (body ?? {}) as Partial<Blob>;
  return typeof size === "number" && typeof slice === "function";
}
