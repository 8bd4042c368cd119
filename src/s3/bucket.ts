/** Requests about the bucket rather than the bytes of one object: multipart uploads, lists, deletes in batches. */
import { concat, utf8 } from "../base/bytes.js";
import type { StoreClock } from "../base/clock.js";
import type { BucketSigner, SignableRequest, UploadedPart, WriteCondition } from "../types.js";
import { conditionHeaders, fieldHeaders, partRequest, type MultipartUpload, type PutOperation } from "./operations.js";
import { failure, networkFailure, parseAnswer, refusal, type Answer, type Purpose } from "./refusal.js";
import { perform, type Plane } from "./perform.js";
import type { Incoming } from "./transport.js";
import type { CallOptions, ListedObject } from "../types.js";
import { childText, parseXml, type XmlElement } from "./xml.js";
import { escapeXml } from "./xml-text.js";
import { sha256Base64 } from "../base/sha256.js";
import type { Signer } from "./signing.js";

/** A page of 1,000 keys of 1,024 bytes, each escaped threefold, and as much again for the rest. Bytes. */
const MAX_XML = 8 << 20;

const LIFE = 3_600;

/** Objects in one `POST ?delete`. */
const BATCH = 1_000;

/** Putting thousands of parts together takes some stores long. Milliseconds. */
const COMPLETE_TIMEOUT = 60_000;

export interface BucketControl {
  signer: BucketSigner;
  upload(operation: PutOperation): MultipartUpload;
  deleteMany(keys: readonly string[], options?: CallOptions): Promise<void>;
  list(prefix: string, options?: CallOptions): AsyncIterable<ListedObject>;
}

export function bucketControl(
  plane: Pick<Plane, "name" | "send" | "limits"> & { clock: StoreClock },
  signer: Signer,
): BucketControl {
  const store = plane.name;

  function request<T>(
    purpose: Purpose,
    signable: SignableRequest,
    options: CallOptions | undefined,
    read: (root: XmlElement, response: Incoming) => T,
    extra: Partial<Parameters<typeof perform<T>>[1]> = {},
  ): Promise<T> {
    return perform<T>(plane, {
      purpose,
      sign: (renew) => signer.sign(signable, LIFE, renew),
      signal: options?.signal,
      async accept(response) {
        const xml = new TextDecoder().decode(await readXml(response, purpose));
        let root: XmlElement;
        try {
          root = parseXml(xml);
        } catch (error) {
          throw failure(
            "ERR_PROTOCOL",
            `${store} answered ${signable.method} with something that is not XML`,
            purpose,
            { retry: { retryable: true } },
            error,
          );
        }
        // Some operations answer 200 first and fail later.
        if (root.name === "Error") {
          const answer = parseAnswer(500, xml);
          throw refusal(answer, response, purpose);
        }
        return read(root, response);
      },
      ...extra,
    });
  }

  function createUpload(key: string, headers: Record<string, string>, options?: CallOptions): Promise<string> {
    const purpose = { store, key, action: "s3:PutObject" };
    return request(purpose, { method: "POST", key, query: { uploads: "" }, headers }, options, (root) => {
      const id = childText(root, "UploadId");
      if (id === "") throw failure("ERR_PROTOCOL", `${store} began an upload without an id`, purpose);
      return id;
    });
  }

  /** `entry`: the metadata that tells our own completed upload, when an answer to us was lost. */
  function completeUpload(
    key: string,
    uploadId: string,
    parts: readonly UploadedPart[],
    condition: WriteCondition,
    options?: CallOptions & { entry?: string | undefined },
  ): Promise<{ etag: string }> {
    const purpose = { store, key, action: "s3:PutObject" };
    const body = utf8(
      `<CompleteMultipartUpload>${parts
        .map(
          ({ partNumber, etag }) =>
            `<Part><PartNumber>${partNumber}</PartNumber><ETag>${escapeXml(etag)}</ETag></Part>`,
        )
        .join("")}</CompleteMultipartUpload>`,
    );
    const headers = { "content-type": "application/xml", ...conditionHeaders(condition) };
    return request(
      purpose,
      { method: "POST", key, query: { uploadId }, headers },
      options,
      (root) => ({ etag: childText(root, "ETag") }),
      {
        body,
        headersTimeout: COMPLETE_TIMEOUT,
        excuse: (answer, _, again) =>
          again && options?.entry !== undefined ? own(answer, key, options.entry, options) : undefined,
      },
    );
  }

  /** Whether the object is the one that an attempt of ours wrote, whose answer was lost. */
  async function own(answer: Answer, key: string, entry: string, options: CallOptions) {
    if (answer.status !== 412 && answer.code !== "NoSuchUpload") return undefined;
    return perform<{ value: { etag: string } } | undefined>(plane, {
      purpose: { store, key, action: "s3:GetObject" },
      sign: (renew) => signer.sign({ method: "HEAD", key }, LIFE, renew),
      signal: options.signal,
      excuse: () => ({ value: undefined }),
      accept(response) {
        response.cancel();
        return response.metadata()["entry"] === entry ? { value: { etag: response.header("etag") ?? "" } } : undefined;
      },
    });
  }

  function abortUpload(key: string, uploadId: string, options?: CallOptions): Promise<void> {
    return perform<void>(plane, {
      purpose: { store, key, action: "s3:AbortMultipartUpload" },
      sign: (renew) => signer.sign({ method: "DELETE", key, query: { uploadId } }, LIFE, renew),
      signal: options?.signal,
      excuse: (answer) => (answer.code === "NoSuchUpload" ? { value: undefined } : undefined),
      accept: (response) => response.cancel(),
    });
  }

  async function listParts(key: string, uploadId: string, options?: CallOptions) {
    const purpose = { store, key, action: "s3:ListMultipartUploadParts" };
    const parts: (UploadedPart & { size: number })[] = [];
    for (let marker = ""; ;) {
      const query = { uploadId, ...(marker !== "" && { "part-number-marker": marker }) };
      const root = await request(purpose, { method: "GET", key, query }, options, (page) => page);
      for (const part of root.children) {
        if (part.name !== "Part") continue;
        parts.push({
          partNumber: Number(childText(part, "PartNumber")),
          etag: childText(part, "ETag"),
          size: Number(childText(part, "Size")),
        });
      }
      const next = childText(root, "NextPartNumberMarker");
      if (childText(root, "IsTruncated") !== "true" || next === marker) return parts;
      marker = next;
    }
  }

  function listPage(prefix: string, cursor?: string, options?: CallOptions) {
    const purpose = { store, action: "s3:ListBucket" };
    const query = {
      "list-type": "2",
      prefix,
      // Keys may hold characters that XML cannot.
      "encoding-type": "url",
      ...(cursor !== undefined && { "continuation-token": cursor }),
    };
    return request(purpose, { method: "GET", key: "", query }, options, (root) => {
      const encoded = childText(root, "EncodingType") === "url";
      const objects = root.children
        .filter((element) => element.name === "Contents")
        .map((element): ListedObject => {
          const key = childText(element, "Key");
          return {
            key: encoded ? decodeURIComponent(key.replaceAll("+", " ")) : key,
            size: Number(childText(element, "Size")),
            etag: childText(element, "ETag"),
            lastModified: new Date(childText(element, "LastModified")),
          };
        });
      const next = childText(root, "NextContinuationToken");
      return { objects, cursor: childText(root, "IsTruncated") === "true" && next !== "" ? next : undefined };
    });
  }

  async function* list(prefix: string, options?: CallOptions): AsyncGenerator<ListedObject, void, undefined> {
    let cursor: string | undefined;
    do {
      const page = await listPage(prefix, cursor, options);
      yield* page.objects;
      cursor = page.cursor;
    } while (cursor !== undefined);
  }

  async function deleteBatch(keys: readonly string[], options: CallOptions | undefined): Promise<void> {
    const purpose: Purpose = { store, action: "s3:DeleteObject" };
    const objects = keys.map((key) => `<Object><Key>${escapeXml(key)}</Key></Object>`).join("");
    const body = utf8(`<Delete><Quiet>true</Quiet>${objects}</Delete>`);
    const headers = { "content-type": "application/xml", "x-amz-checksum-sha256": (await sha256Base64(body))! };
    await request(
      purpose,
      { method: "POST", key: "", query: { delete: "" }, headers },
      options,
      (root, response) => {
        const errors = root.children.filter((element) => element.name === "Error");
        const first = errors[0];
        if (first === undefined) return;
        const code = childText(first, "Code");
        const key = childText(first, "Key");
        const more = errors.length > 1 ? ` (and ${errors.length - 1} more keys)` : "";
        const answer = {
          status: code === "AccessDenied" ? 403 : 500,
          code,
          message: childText(first, "Message") + more,
        };
        throw refusal(answer, response, { ...purpose, key });
      },
      { body },
    );
  }

  return {
    upload(operation) {
      const { key } = operation;
      const entry = operation.metadata["entry"];
      return {
        create: (signal) => createUpload(key, fieldHeaders(operation), { signal }),
        signPart: (uploadId, partNumber, size, renew) =>
          signer.sign(partRequest(key, uploadId, partNumber, size), LIFE, renew),
        complete: (uploadId, parts, condition, signal) =>
          completeUpload(key, uploadId, parts, condition, { signal, entry }),
        abort: (uploadId) => abortUpload(key, uploadId),
      };
    },
    list,
    async deleteMany(keys, options) {
      for (let start = 0; start < keys.length; start += BATCH) {
        await deleteBatch(keys.slice(start, start + BATCH), options);
      }
    },
    signer: {
      async sign(signable, expiresIn) {
        // MinIO obeys an unsigned copy source, which would turn this write into a read of any object. AWS refuses
        // unsigned x-amz headers by itself.
        const guarded = signable.method === "PUT" && (await signer.isCustom());
        const headers = guarded ? { ...signable.headers, "x-amz-copy-source-if-match": "none" } : signable.headers;
        return signer.sign({ ...signable, ...(headers !== undefined && { headers }) }, expiresIn);
      },
      createUpload,
      completeUpload,
      abortUpload,
      listParts,
      listPage,
    },
  };
}

async function readXml(response: Incoming, purpose: Purpose): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  try {
    await response.drain((chunk) => {
      size += chunk.byteLength;
      if (size > MAX_XML)
        throw failure("ERR_PROTOCOL", `${purpose.store} answered more than ${MAX_XML} bytes of XML`, purpose);
      chunks.push(chunk);
    });
  } catch (error) {
    response.cancel();
    throw networkFailure(error, purpose);
  }
  return concat(chunks);
}
