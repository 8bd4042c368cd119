/** One multipart upload: the parts, several at once, all or nothing. */
import { onAbort, untilAborted } from "../base/abort.js";
import type { Progress, UploadedPart } from "../types.js";
import type { ObjectConnection } from "./connection.js";
import { failure, type Purpose } from "./failure.js";
import { MAX_PARTS } from "./limits.js";
import type { MultipartUpload } from "./operations.js";
import type { Part, PartSource } from "./part-source.js";
import { perform } from "./perform.js";
import { sizeOf } from "./transport.js";

export interface UploadOptions {
  key: string;
  /** Bytes of the whole body, where they are known. */
  totalBytes: number | undefined;
  signal: AbortSignal | undefined;
  onProgress: ((progress: Progress) => void) | undefined;
  /** Puts the parts together. */
  complete(uploadId: string, parts: readonly UploadedPart[]): Promise<{ etag: string }>;
}

const DEFAULT_CONCURRENCY = 4;

/** Longest wait for the id of an upload that nobody wants any more. Without the id it cannot be removed. */
const CREATION_GRACE_MS = 1_000;

/**
 * Uploads all parts, or nothing. When the source fails, the signal aborts or the store refuses, the parts in flight are
 * stopped and waited for, and the upload is removed, before the promise rejects.
 *
 * @throws BucketCacheError `ERR_TOO_LARGE` for more parts than S3 takes
 */
export async function uploadParts(
  connection: ObjectConnection,
  upload: MultipartUpload,
  parts: PartSource,
  options: UploadOptions,
): Promise<{ etag: string }> {
  const { signal } = options;
  const sending = new PartsInFlight(connection, upload, parts, options);
  const leave = onAbort(signal, () => sending.stop(signal?.reason));
  // The creation outlives an abort for a while: with the id that it brings, the upload can be removed.
  const creation = new AbortController();
  let creating: Promise<string> | undefined;
  try {
    signal?.throwIfAborted();
    creating = upload.create(creation.signal);
    const uploadId = await untilAborted(creating, signal);
    return await options.complete(uploadId, await sending.sendAll(uploadId));
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

class PartsInFlight {
  readonly #connection: ObjectConnection;
  readonly #upload: MultipartUpload;
  readonly #parts: PartSource;
  readonly #options: UploadOptions;
  readonly #stopped = new AbortController();
  readonly #uploaded: UploadedPart[] = [];
  #loadedBytes = 0;
  #count = 0;
  /** Lanes take turns at the source, so that at most one part is being filled while others are on their way. */
  #turn: Promise<unknown> = Promise.resolve();

  constructor(connection: ObjectConnection, upload: MultipartUpload, parts: PartSource, options: UploadOptions) {
    this.#connection = connection;
    this.#upload = upload;
    this.#parts = parts;
    this.#options = options;
  }

  /** Sends all parts. Settles only when none is in flight any more. */
  async sendAll(uploadId: string): Promise<readonly UploadedPart[]> {
    const { concurrency = DEFAULT_CONCURRENCY } = this.#connection;
    // The first failure stops the other lanes, and is the reason of `#stopped`. Theirs only follow from it.
    const lanes = Array.from({ length: concurrency }, () =>
      this.#runLane(uploadId).catch((error: unknown) => this.stop(error)),
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

  async #runLane(uploadId: string): Promise<void> {
    for (let part; (part = await this.#takePart()) !== undefined;) await this.#send(uploadId, part);
  }

  #takePart(): Promise<(Part & { partNumber: number }) | undefined> {
    const { signal } = this.#stopped;
    const taken = this.#turn.then(async () => {
      signal.throwIfAborted();
      const part = await this.#parts.next();
      signal.throwIfAborted();
      if (part === undefined) return undefined;
      if (++this.#count > MAX_PARTS) throw this.#tooLarge();
      return { ...part, partNumber: this.#count };
    });
    this.#turn = taken.catch(() => {});
    return taken;
  }

  async #send(uploadId: string, { body, partNumber, release }: Part & { partNumber: number }): Promise<void> {
    const size = sizeOf(body);
    await perform<void>(this.#connection, {
      purpose: this.#purpose,
      sign: (renew) => this.#upload.signPart(uploadId, partNumber, size, renew),
      body,
      signal: this.#stopped.signal,
      accept: (response) => {
        response.cancel();
        this.#uploaded[partNumber - 1] = { partNumber, etag: response.header("etag") ?? "" };
      },
    });
    release();
    this.#loadedBytes += size;
    this.#options.onProgress?.({ loaded: this.#loadedBytes, total: this.#options.totalBytes });
  }

  get #purpose(): Purpose {
    return { store: this.#connection.name, key: this.#options.key, action: "s3:PutObject" };
  }

  #tooLarge(): Error {
    const limit = `${MAX_PARTS} parts of ${this.#parts.partSize} bytes`;
    return failure("ERR_TOO_LARGE", `the stream is larger than ${limit}: set a larger partSize`, this.#purpose);
  }
}
