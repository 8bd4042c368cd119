/** Writes of one object: a PUT of the whole, or an upload in parts of what is larger. */
import { untilAborted } from "../base/abort.js";
import { lazy } from "../base/lazy.js";
import type { ObjectStore, PutOptions, WrittenObject } from "../types.js";
import type { ConditionalWrites } from "./conditional-writes.js";
import { partSizeOf, type ObjectConnection } from "./connection.js";
import { metadataHeader } from "./header-names.js";
import { conditionOf, type PutOperation } from "./operations.js";
import { perform } from "./perform.js";
import { headObject } from "./read-object.js";
import { isConditionFailed, type Refusal } from "./refusal.js";
import { sizeOf } from "./transport.js";

/** Bytes of known length are uploaded in parts only from this many parts on. */
const PARTS_WORTH_CUTTING = 8;

export type ObjectBody = Parameters<ObjectStore["put"]>[1];

export type S3PutOptions = PutOptions & Pick<PutOperation, "requested">;

/** Writes objects. The code of uploads in parts is loaded with the first body that may need it. */
export class ObjectWriter {
  readonly connection: ObjectConnection;
  readonly conditions: ConditionalWrites;
  readonly #withLargeWrites = lazy(() => import("./large-write.js"));

  constructor(connection: ObjectConnection, conditions: ConditionalWrites) {
    this.connection = connection;
    this.conditions = conditions;
  }

  /** @throws TypeError for a body that a store does not take */
  async put(key: string, body: ObjectBody, options: S3PutOptions): Promise<WrittenObject> {
    const { signal, onProgress: _, waitUntil: _waitUntil, ...fields } = options;
    const operation: PutOperation = { ...fields, op: "put", key };
    signal?.throwIfAborted();
    const isKnown = body instanceof Uint8Array || isBlob(body);
    if (isKnown && (sizeOf(body) <= this.#largestWhole(body) || options.sha256 !== undefined)) {
      return this.putWhole({ ...operation, size: sizeOf(body) }, body, options);
    }
    if (!isKnown && typeof body?.getReader !== "function") {
      throw new TypeError("a store takes a Uint8Array, a Blob or a ReadableStream of bytes");
    }
    const { putLarge } = await this.#loadLargeWrites(body, signal);
    return putLarge(this, operation, body, options);
  }

  /** Writes a body by one PUT. `operation.size` is that of the body. */
  async putWhole(
    operation: PutOperation,
    body: Uint8Array | Blob,
    { signal, onProgress }: S3PutOptions,
  ): Promise<WrittenObject> {
    const { connection } = this;
    const { key } = operation;
    const { ifMatch: _, ifNoneMatch: _ifNoneMatch, ...fields } = operation;
    /** The `entry` metadata of all attempts. They tell the object that one of them wrote from any other. */
    const entries = new Set<string>();
    const written = await this.conditions.run(conditionOf(operation), (condition) =>
      perform<WrittenObject>(connection, {
        purpose: { store: connection.name, key, action: "s3:PutObject" },
        async sign(renew) {
          const signed = await connection.sign({ ...fields, ...condition }, renew, signal);
          entries.add(signed.headers[metadataHeader("entry")] ?? "");
          return signed;
        },
        body,
        signal,
        recover: (refusal, again) => (again ? this.#findOwnWrite(key, refusal, entries, signal) : undefined),
        accept(response) {
          response.cancel();
          // The `Date` of the answer shows, to the second, when somebody writes the same bytes later. Pages cannot see it.
          return writtenObject(response.header("etag") ?? "", Date.parse(response.header("date") ?? ""));
        },
      }),
    );
    const size = sizeOf(body);
    onProgress?.({ loaded: size, total: size });
    return written;
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
    const { partsWorthCutting = PARTS_WORTH_CUTTING } = this.connection;
    return partSizeOf(this.connection) * (body instanceof Uint8Array ? partsWorthCutting : 1);
  }

  /** Finds out whether the attempt whose answer was lost is the write that now makes the condition fail. */
  async #findOwnWrite(
    key: string,
    refusal: Refusal,
    entries: ReadonlySet<string>,
    signal: AbortSignal | undefined,
  ): Promise<{ value: WrittenObject } | undefined> {
    if (!isConditionFailed(refusal)) return undefined;
    const found = await headObject(this.connection, key, { signal });
    const entry = found?.metadata["entry"];
    if (found === undefined || !entry || !entries.has(entry)) return undefined;
    return { value: writtenObject(found.etag, +found.lastModified) };
  }
}

/** @param modified Unix milliseconds; NaN where the answer hides the time. */
function writtenObject(etag: string, modified: number): WrittenObject {
  return { etag, ...(!Number.isNaN(modified) && { lastModified: new Date(modified) }) };
}

export function isBlob(body: unknown): body is Blob {
  const { size, slice } = (body ?? {}) as Partial<Blob>;
  return typeof size === "number" && typeof slice === "function";
}
