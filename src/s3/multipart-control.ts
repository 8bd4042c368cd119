/**
 * Control of multipart uploads: create, complete, abort, list the parts.
 * https://docs.aws.amazon.com/AmazonS3/latest/userguide/mpuoverview.html
 */
import { utf8 } from "../base/bytes.js";
import type { BucketSigner, CallOptions, UploadedPart, WriteCondition } from "../types.js";
import { quotedEtag } from "./etag.js";
import { failure, type Purpose } from "./failure.js";
import { conditionHeaders, fieldHeaders, partRequest, type MultipartUpload, type PutOperation } from "./operations.js";
import { perform } from "./perform.js";
import { isConditionFailed, isUploadGone, type Refusal } from "./refusal.js";
import { REQUEST_LIFE_SECONDS } from "./signing.js";
import { requestXml, type BucketConnection } from "./xml-request.js";
import { escapeXml } from "./xml-text.js";
import { childText } from "./xml.js";

/** How often an upload is aborted whose parts come in afterwards. */
const MAX_ABORTS = 3;

/** Some stores take long to put thousands of parts together. */
const COMPLETE_TIMEOUT_MS = 60_000;

type CompleteOptions = NonNullable<Parameters<BucketSigner["completeUpload"]>[4]>;

export class MultipartControl {
  readonly #bucket: BucketConnection;

  constructor(bucket: BucketConnection) {
    this.#bucket = bucket;
  }

  create(key: string, headers: Record<string, string>, { signal }: CallOptions = {}): Promise<string> {
    const purpose = this.#purpose(key, "s3:PutObject");
    return requestXml(this.#bucket, {
      purpose,
      request: { method: "POST", key, query: { uploads: "" }, headers },
      signal,
      read(root) {
        const uploadId = childText(root, "UploadId");
        if (uploadId !== "") return uploadId;
        throw failure("ERR_PROTOCOL", `${purpose.store} began an upload without an id`, purpose);
      },
    });
  }

  complete(
    key: string,
    uploadId: string,
    parts: readonly UploadedPart[],
    condition: WriteCondition,
    { signal, entry }: CompleteOptions = {},
  ): Promise<{ etag: string }> {
    const headers = { "content-type": "application/xml", ...conditionHeaders(condition) };
    return requestXml<{ etag: string }>(this.#bucket, {
      purpose: this.#purpose(key, "s3:PutObject"),
      request: { method: "POST", key, query: { uploadId }, headers },
      body: partsXml(parts),
      signal,
      headersTimeoutMs: COMPLETE_TIMEOUT_MS,
      read: (root) => ({ etag: quotedEtag(childText(root, "ETag")) }),
      recover: (refusal, again) =>
        again && entry !== undefined ? this.#findOwnWrite(key, refusal, entry, signal) : undefined,
    });
  }

  /**
   * Ends an upload and removes its parts. A part that was on its way may be stored afterwards (AWS says so, and versitygw
   * shows it), and then keeps the upload alive: it is aborted again until the store does not know it any more.
   */
  async abort(key: string, uploadId: string, options: CallOptions = {}): Promise<void> {
    for (let attempt = 1; attempt <= MAX_ABORTS; attempt++) {
      await this.#abortOnce(key, uploadId, options);
      if (await this.#isGone(key, uploadId, options)) return;
    }
  }

  async #isGone(key: string, uploadId: string, options: CallOptions): Promise<boolean> {
    try {
      const { parts } = await this.#listPartsAfter("", key, uploadId, options);
      return parts.length === 0;
    } catch {
      options.signal?.throwIfAborted();
      // `NoSuchUpload` says so; a store that does not list parts leaves them to the bucket's lifecycle rule.
      return true;
    }
  }

  #abortOnce(key: string, uploadId: string, { signal }: CallOptions): Promise<void> {
    const request = { method: "DELETE", key, query: { uploadId } } as const;
    return perform<void>(this.#bucket, {
      purpose: this.#purpose(key, "s3:AbortMultipartUpload"),
      sign: (renew) => this.#bucket.signer.sign(request, REQUEST_LIFE_SECONDS, renew),
      signal,
      recover: (refusal) => (isUploadGone(refusal) ? { value: undefined } : undefined),
      accept: (response) => response.cancel(),
    });
  }

  async listParts(key: string, uploadId: string, options?: CallOptions): Promise<(UploadedPart & { size: number })[]> {
    const parts: (UploadedPart & { size: number })[] = [];
    for (let marker: string | undefined = ""; marker !== undefined;) {
      const page = await this.#listPartsAfter(marker, key, uploadId, options);
      parts.push(...page.parts);
      marker = page.next === marker ? undefined : page.next;
    }
    return parts;
  }

  /** Returns the upload that a write makes, as the object client uses it. */
  uploadOf(operation: PutOperation): MultipartUpload {
    const { key, metadata } = operation;
    const entry = metadata["entry"];
    return {
      create: (signal) => this.create(key, fieldHeaders(operation), { signal }),
      signPart: (uploadId, partNumber, size, renew) =>
        this.#bucket.signer.sign(partRequest(key, uploadId, partNumber, size), REQUEST_LIFE_SECONDS, renew),
      complete: (uploadId, parts, condition, signal) =>
        this.complete(key, uploadId, parts, condition, { signal, ...(entry !== undefined && { entry }) }),
      abort: (uploadId) => this.abort(key, uploadId),
    };
  }

  #listPartsAfter(marker: string, key: string, uploadId: string, { signal }: CallOptions = {}) {
    const query = { uploadId, ...(marker !== "" && { "part-number-marker": marker }) };
    return requestXml(this.#bucket, {
      purpose: this.#purpose(key, "s3:ListMultipartUploadParts"),
      request: { method: "GET", key, query },
      signal,
      read: (root) => ({
        parts: root.children
          .filter(({ name }) => name === "Part")
          .map((part) => ({
            partNumber: Number(childText(part, "PartNumber")),
            etag: childText(part, "ETag"),
            size: Number(childText(part, "Size")),
          })),
        next: (childText(root, "IsTruncated") === "true" && childText(root, "NextPartNumberMarker")) || undefined,
      }),
    });
  }

  /** Finds out whether the attempt whose answer was lost has put the object there. */
  async #findOwnWrite(key: string, refusal: Refusal, entry: string, signal: AbortSignal | undefined) {
    if (!isConditionFailed(refusal) && !isUploadGone(refusal)) return undefined;
    return perform<{ value: { etag: string } } | undefined>(this.#bucket, {
      purpose: this.#purpose(key, "s3:GetObject"),
      sign: (renew) => this.#bucket.signer.sign({ method: "HEAD", key }, REQUEST_LIFE_SECONDS, renew),
      signal,
      recover: () => ({ value: undefined }),
      accept(response) {
        response.cancel();
        return response.metadata()["entry"] === entry
          ? { value: { etag: quotedEtag(response.header("etag")) } }
          : undefined;
      },
    });
  }

  #purpose(key: string, action: string): Purpose {
    return { store: this.#bucket.name, key, action };
  }
}

function partsXml(parts: readonly UploadedPart[]): Uint8Array {
  const list = parts.map(
    ({ partNumber, etag }) => `<Part><PartNumber>${partNumber}</PartNumber><ETag>${escapeXml(etag)}</ETag></Part>`,
  );
  return utf8(`<CompleteMultipartUpload>${list.join("")}</CompleteMultipartUpload>`);
}
