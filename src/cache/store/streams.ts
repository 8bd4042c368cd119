import { bodyStream } from "../../base/body.js";
import { OCTET_STREAM } from "../../base/media-type.js";
import { checkRange, clipRange, contentRange } from "../../base/range.js";
import { isBody } from "../encoding.js";
import { BucketCacheError, isConflict, isUnavailable } from "../../errors.js";
import { gunzipStream } from "../../entry/gzip.js";
import type { WriteCondition } from "../../types.js";
import type { Layers } from "../layers.js";
import { resolveEntry } from "../settings.js";
import type {
  Body,
  Bytes,
  CallOptions,
  LoadContext,
  ObjectHead,
  Progress,
  SetOptions,
  StreamOptions,
} from "../../types.js";
import { discardBody, getObject, ifUnchanged, isGzip, judge, type Judgement, miss } from "./read.js";
import { discardExpired } from "./remove.js";
import { putBody, setBody, SourceFailure, type Upload } from "./upload.js";
import { emitSet } from "./write.js";

/** `set` of a body. */
export function setStream(layers: Layers, key: string, body: Body, options: SetOptions): Promise<void> {
  return setBody(layers, key, toUpload(body, options), resolveEntry(options, layers.settings.entry), options);
}

/** @throws TypeError for an error page, and for what was read before */
function toUpload(body: Body, options: SetOptions): Upload {
  if (isResponse(body) && !body.ok) {
    body.body?.cancel().catch(() => undefined);
    throw new TypeError(
      `the Response has status ${body.status}: an error page is not worth caching; check response.ok`,
    );
  }
  const own = isResponse(body) ? body.headers.get("content-type") : isBlob(body) ? body.type : null;
  return {
    body: isBlob(body) ? body : bodyStream(body),
    contentType: options.contentType ?? (own === null || own === "" ? OCTET_STREAM : own),
  };
}

function isResponse(body: Body): body is Response {
  return "headers" in body && "status" in body && "body" in body;
}

function isBlob(body: Body): body is Blob {
  return "stream" in body && "size" in body && !("getReader" in body);
}

/** An entry that is open for reading. */
interface Opened {
  head: ObjectHead;
  entry: Extract<Judgement, { kind: "live" }>;
  stream: ReadableStream<Bytes>;
  /** Still gzip: the bytes as they are stored. */
  raw: boolean;
}

interface Miss {
  condition: WriteCondition;
}

/** `getStream` and `getResponse`: always from the store. */
export async function openEntry(
  layers: Layers,
  key: string,
  options: StreamOptions,
  overwriting = false,
): Promise<Opened | Miss> {
  const { signal, range, onProgress } = options;
  signal?.throwIfAborted();
  checkRange(range);
  const startedAt = performance.now();
  await layers.order.settled(key, signal);
  const got = await getObject(layers, key, { signal, ...(range && { range }) });
  if (got === undefined || got === "not-modified") {
    miss(layers, key, startedAt);
    return { condition: { ifNoneMatch: "*" } };
  }
  const entry = judge(layers, key, got);
  if (entry.kind === "gone") {
    await discardBody(got);
    miss(layers, key, startedAt);
    if (!overwriting) discardExpired(layers, key, entry.expired, options);
    return { condition: ifUnchanged(got.etag) };
  }
  const raw = options.raw === true;
  if (range !== undefined && entry.compressed && !raw) {
    await discardBody(got);
    throw new BucketCacheError(
      "ERR_UNSUPPORTED",
      "a range of a compressed entry cannot be decoded: read all of it, read the stored bytes with raw: true, or store it with compress: false",
      layers.at(key),
    );
  }
  layers.counters.store.hits++;
  layers.emitHit(key, "store", startedAt);
  const { start, end } = clipRange(range, got.size);
  const length = end - start;
  // Of a body that comes in chunks it is not known.
  layers.counters.store.bytesRead += length || 0;
  let stream = got.body;
  if (onProgress !== undefined) stream = stream.pipeThrough(meter(onProgress, length >= 0 ? length : undefined));
  if (entry.compressed && !raw) {
    if (entry.codec === undefined) {
      // Python's `S3Cache` flags streams as compressed which it stores plain.
      const peeked = await peek(stream);
      stream = isGzip(peeked.start) ? gunzipStream(peeked.stream, true) : peeked.stream;
    } else {
      stream = gunzipStream(stream);
    }
  }
  return { head: got, entry, stream, raw: raw && entry.compressed };
}

/** `getResponse`. */
export function toResponse({ head, entry, stream, raw }: Opened, range: StreamOptions["range"]): Response {
  const { start, end } = clipRange(range, head.size);
  const headers = new Headers({ "content-type": head.contentType || OCTET_STREAM });
  // A proxy may have dropped it.
  if (+head.lastModified >= 0) headers.set("last-modified", head.lastModified.toUTCString());
  if (raw) headers.set("content-type", "application/gzip");
  // The length of what was gunzipped on the way is not known.
  if ((!entry.compressed || raw) && head.size >= 0) headers.set("content-length", String(end - start));
  if (range === undefined) return new Response(stream, { headers });
  headers.set("content-range", contentRange(start, end, head.size));
  return new Response(stream, { status: 206, headers });
}

/** `getOrSetStream`: what `load` gives goes to the store first, and from there to everyone who waits. */
export async function getOrSetStream(
  layers: Layers,
  key: string,
  load: (context: LoadContext) => Body | PromiseLike<Body>,
  options: SetOptions,
): Promise<ReadableStream<Bytes>> {
  const { signal, waitUntil } = options;
  let condition: WriteCondition | undefined;
  // Who comes while it is being written need not ask first.
  if (!layers.uploads.has(key)) {
    const opened = await openAround(layers, key, { signal, waitUntil });
    if (opened !== undefined && "stream" in opened) return opened.stream;
    condition = opened?.condition;
  }
  if (condition !== undefined || layers.uploads.has(key)) {
    await layers.once(layers.uploads, key, options, (signal) =>
      upload(layers, key, load, condition ?? {}, { ...options, signal }),
    );
    const stored = await openAround(layers, key, { signal, waitUntil });
    if (stored !== undefined && "stream" in stored) return stored.stream;
  }
  // Without a store, or where the entry went again at once, each caller has a load of its own.
  layers.counters.calls++;
  const { body } = toUpload(await load({ signal: signal ?? new AbortController().signal }), options);
  return "getReader" in body ? body : (body.stream() as ReadableStream<Bytes>);
}

/** Opens an entry that is about to be written when it is absent; undefined where the store is down and may be bypassed. */
async function openAround(layers: Layers, key: string, call: CallOptions): Promise<Opened | Miss | undefined> {
  for (;;) {
    const token = layers.order.begin(key);
    try {
      const opened = await openEntry(layers, key, call, true);
      // It was written while the store was asked, and the answer is from before.
      if ("stream" in opened || !token.superseded) return opened;
    } catch (error) {
      if (!isUnavailable(error) || !layers.settings.bypassUnavailable) throw error;
      layers.events.error(layers.keyOf(key), error);
      return undefined;
    } finally {
      layers.order.end(token);
    }
  }
}

async function upload(
  layers: Layers,
  key: string,
  load: (context: LoadContext) => Body | PromiseLike<Body>,
  condition: WriteCondition,
  options: SetOptions,
): Promise<void> {
  const policy = resolveEntry(options, layers.settings.entry);
  const token = layers.order.begin(key);
  try {
    layers.counters.calls++;
    const body = await load({ signal: options.signal ?? new AbortController().signal });
    if (!isBody(body)) {
      throw new TypeError(
        "the load of getOrSetStream must return a stream, a Blob or a Response; for values use getOrSet",
      );
    }
    const payload = toUpload(body, options);
    const startedAt = performance.now();
    await layers.order.enqueue(key, async () => {
      if (token.superseded) {
        if ("getReader" in payload.body) await payload.body.cancel();
        return;
      }
      try {
        const size = await putBody(layers, key, payload, policy, condition, options);
        layers.order.supersedeReaders(key, token);
        layers.memory?.delete(key);
        emitSet(layers, key, size, startedAt);
      } catch (error) {
        if (error instanceof SourceFailure) throw error.reason;
        // Somebody else has stored it meanwhile: theirs is read then.
        if (isConflict(error)) return;
        if (!isUnavailable(error) || !layers.settings.bypassUnavailable) throw error;
        layers.events.error(layers.keyOf(key), error);
      }
    });
  } finally {
    layers.order.end(token);
  }
}

function meter(onProgress: (progress: Progress) => void, total: number | undefined): TransformStream<Bytes, Bytes> {
  let loaded = 0;
  return new TransformStream({
    transform(chunk, controller) {
      loaded += chunk.byteLength;
      onProgress({ loaded, total });
      controller.enqueue(chunk);
    },
  });
}

/** The first bytes of a stream, and the stream with them. */
async function peek(stream: ReadableStream<Bytes>): Promise<{ start: Uint8Array; stream: ReadableStream<Bytes> }> {
  const reader = stream.getReader();
  const chunks: Bytes[] = [];
  let size = 0;
  let ended = false;
  while (size < 2 && !ended) {
    const { done, value } = await reader.read();
    if (done) ended = true;
    else {
      chunks.push(value);
      size += value.byteLength;
    }
  }
  const start = Uint8Array.from(chunks.flatMap((chunk) => [...chunk.subarray(0, 2)]).slice(0, 2));
  return {
    start,
    stream: new ReadableStream<Bytes>(
      {
        async pull(controller) {
          const first = chunks.shift();
          if (first !== undefined) return controller.enqueue(first);
          const { done, value } = ended ? { done: true, value: undefined } : await reader.read();
          if (done || value === undefined) controller.close();
          else controller.enqueue(value);
        },
        cancel: (reason) => reader.cancel(reason),
      },
      { highWaterMark: 0 },
    ),
  };
}
