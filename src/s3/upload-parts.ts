/** One multipart upload: the parts, several at once, all or nothing. */
import { onAbort, untilAborted } from "../base/abort.js";
import type { PutOptions, UploadedPart, WrittenObject } from "../types.js";
import type { MultipartUpload, PutOperation } from "./operations.js";
import type { Part, PartSource } from "./part-source.js";
import type { ObjectWriter } from "./write-object.js";

const DEFAULT_CONCURRENCY = 4;

/** Longest wait for the id of an upload that nobody wants any more. Without the id it cannot be removed. */
const CREATION_GRACE_MS = 1_000;

/**
 * Uploads all parts, or nothing. When the source fails, the signal aborts or the store refuses, the parts in flight are
 * stopped and waited for, and the upload is removed, before the promise rejects.
 */
export async function uploadParts(
  writer: ObjectWriter,
  operation: PutOperation,
  parts: PartSource,
  options: PutOptions,
): Promise<WrittenObject> {
  const { signal } = options;
  const upload = writer.connection.upload(operation);
  const lanes = new Lanes(writer, upload, parts, operation, options.onProgress);
  const leave = onAbort(signal, () => lanes.stop(signal?.reason));
  // The creation outlives an abort for a while: with the id that it brings, the upload can be removed.
  const creation = new AbortController();
  let creating: Promise<string> | undefined;
  try {
    signal?.throwIfAborted();
    creating = upload.create(creation.signal);
    const uploadId = await untilAborted(creating, signal);
    const uploaded = await lanes.sendAll(uploadId);
    return await writer.runConditional(operation, signal, (condition) =>
      upload.complete(uploadId, uploaded, condition, signal),
    );
  } catch (error) {
    parts.cancel(error);
    const timer = setTimeout(() => creation.abort(error), CREATION_GRACE_MS);
    // Where this fails too, the parts are left to the bucket's lifecycle rule.
    await creating?.then((uploadId) => upload.abort(uploadId)).catch(() => {});
    clearTimeout(timer);
    throw error;
  } finally {
    leave();
  }
}

/** Lanes that send parts side by side. */
class Lanes {
  readonly #writer: ObjectWriter;
  readonly #upload: MultipartUpload;
  readonly #parts: PartSource;
  readonly #operation: PutOperation;
  readonly #onProgress: PutOptions["onProgress"];
  readonly #stopped = new AbortController();
  readonly #uploaded: UploadedPart[] = [];
  #loadedBytes = 0;
  #count = 0;
  /** Lanes take turns at the source, so that at most one part is being filled while others are on their way. */
  #turn: Promise<unknown> = Promise.resolve();

  constructor(
    writer: ObjectWriter,
    upload: MultipartUpload,
    parts: PartSource,
    operation: PutOperation,
    onProgress: PutOptions["onProgress"],
  ) {
    this.#writer = writer;
    this.#upload = upload;
    this.#parts = parts;
    this.#operation = operation;
    this.#onProgress = onProgress;
  }

  /** Sends all parts. Settles only when none is in flight any more. */
  async sendAll(uploadId: string): Promise<readonly UploadedPart[]> {
    const { concurrency = DEFAULT_CONCURRENCY } = this.#writer.connection;
    // The first failure stops the other lanes, and is the reason of `#stopped`. Theirs only follow from it.
    const lanes = Array.from({ length: concurrency }, () =>
      this.#run(uploadId).catch((error: unknown) => this.stop(error)),
    );
    await Promise.all(lanes);
    this.#stopped.signal.throwIfAborted();
    return this.#uploaded;
  }

  stop(reason: unknown): void {
    this.#stopped.abort(reason);
    // A source that waits for its next chunk would not notice by itself.
    this.#parts.cancel(reason);
  }

  async #run(uploadId: string): Promise<void> {
    for (let part; (part = await this.#takePart()) !== undefined;) {
      const { partNumber, body, size } = part;
      const { signal } = this.#stopped;
      const etag = await this.#writer.putPart(
        this.#operation,
        (renew) => this.#upload.signPart(uploadId, partNumber, size, renew),
        body,
        signal,
      );
      this.#uploaded[partNumber - 1] = { partNumber, etag };
      part.release();
      this.#loadedBytes += size;
      this.#onProgress?.({ loaded: this.#loadedBytes, total: this.#operation.size });
    }
  }

  #takePart(): Promise<(Part & { partNumber: number }) | undefined> {
    const { signal } = this.#stopped;
    const taken = this.#turn.then(async () => {
      signal.throwIfAborted();
      const part = await this.#parts.next();
      signal.throwIfAborted();
      if (part === undefined) return undefined;
      this.#writer.checkPartNumber(++this.#count, this.#operation);
      return { ...part, partNumber: this.#count };
    });
    this.#turn = taken.catch(() => {});
    return taken;
  }
}
