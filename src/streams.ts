import { bodyStream } from "./bytes.js";
import { BucketCacheError, isBucketCacheError, isUnavailable } from "./errors.js";
import type { WriteCondition } from "./internals.js";
import { discardBody, isGzip, type Judgement, type Layers } from "./layers.js";
import { type EntryPolicy, resolveEntry } from "./settings.js";
import type {
  Body,
  Bytes,
  CallOptions,
  LoadContext,
  ObjectHead,
  Progress,
  SetOptions,
  StreamOptions,
} from "./types.js";
import { discardExpired } from "./remove.js";
import { putBody, setBody, type Stamp } from "./write.js";

const OCTETS = "application/octet-stream";

/** Whether a value is stored by streaming it. Told by methods: bodies come from other realms and polyfills too. */
export function isBody(value: unknown): value is Body {
  if (typeof value !== "object" || value === null) return false;
  const body = value as { getReader?: unknown; stream?: unknown; arrayBuffer?: unknown };
  return (
    typeof body.getReader === "function" ||
    typeof body.stream === "function" ||
    (typeof body.arrayBuffer === "function" && "body" in value) ||
    Symbol.asyncIterator in value
  );
}

/** `set` of a body. */
export async function setStream(layers: Layers, key: string, body: Body, options: SetOptions): Promise<void> {
  const policy = resolveEntry(options, layers.settings.entry);
  const { payload, stamp } = await toPayload(body, policy, options);
  return setBody(layers, key, payload, stamp, policy, options);
}

async function toPayload(
  body: Body,
  policy: EntryPolicy,
  options: SetOptions,
): Promise<{ payload: Blob | ReadableStream<Bytes>; stamp: Stamp }> {
  if (isResponse(body) && !body.ok) {
    await body.body?.cancel();
    throw new TypeError(
      `the Response has status ${body.status}: an error page is not worth caching; check response.ok`,
    );
  }
  const own = isResponse(body) ? body.headers.get("content-type") : isBlob(body) ? body.type : null;
  const contentType = options.contentType ?? (own === null || own === "" ? OCTETS : own);
  const compressed =
    policy.compress === "auto" ? (await import("./gzip.js")).compressible(contentType) : policy.compress;
  return {
    // A Blob has a length and can be read again, which a stream cannot: the store makes use of both.
    payload: isBlob(body) ? body : bodyStream(body),
    stamp: { codec: "bytes", contentType, compressed, ttl: policy.ttl, keyHash: undefined },
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
  const pending = layers.order.pending(key);
  if (pending !== undefined) await pending;
  const got = await layers.get(key, { signal, ...(range && { range }) });
  if (got === undefined || got === "not-modified") {
    layers.miss(key, startedAt);
    return { condition: { ifNoneMatch: "*" } };
  }
  const entry = layers.judge(key, got);
  if (entry.kind === "gone") {
    await discardBody(got);
    layers.miss(key, startedAt);
    if (!overwriting) discardExpired(layers, key, entry.expired, options);
    return { condition: got.etag === "" ? {} : { ifMatch: got.etag } };
  }
  const raw = options.raw === true;
  if (range !== undefined && entry.compressed && !raw) {
    await discardBody(got);
    throw new BucketCacheError(
      "ERR_UNSUPPORTED",
      "a range of a compressed entry cannot be decoded: read all of it, read the stored bytes with raw: true, or store it with compress: false",
      { key, store: layers.settings.store.name },
    );
  }
  layers.counters.store.hits++;
  layers.emitHit(key, "store", startedAt);
  const length = rangeLength(range, got.size);
  layers.counters.store.bytesRead += length;
  let stream = got.body;
  if (onProgress !== undefined) stream = stream.pipeThrough(meter(onProgress, length));
  if (entry.compressed && !raw) {
    const { gunzipStream } = await import("./gzip.js");
    if (entry.codec === undefined) {
      // Python's `S3Cache` flags streams as compressed which it stores plain.
      const peeked = await peek(stream);
      stream = isGzip(peeked.start) ? gunzipStream(peeked.stream) : peeked.stream;
    } else {
      stream = gunzipStream(stream);
    }
  }
  return { head: got, entry, stream, raw: raw && entry.compressed };
}

/** `getResponse`. */
export function toResponse({ head, entry, stream, raw }: Opened, range: StreamOptions["range"]): Response {
  const headers = new Headers({
    "content-type": head.contentType || OCTETS,
    "last-modified": head.lastModified.toUTCString(),
  });
  if (raw) headers.set("content-type", "application/gzip");
  // The length of what was gunzipped on the way is not known.
  if (!entry.compressed || raw) headers.set("content-length", String(rangeLength(range, head.size)));
  if (range === undefined) return new Response(stream, { headers });
  const end = range.offset + rangeLength(range, head.size) - 1;
  headers.set("content-range", `bytes ${range.offset}-${end}/${head.size}`);
  return new Response(stream, { status: 206, headers });
}

/** `getOrSetStream`: what `load` gives goes to the store first, and from there to everyone who waits. */
export async function getOrSetStream(
  layers: Layers,
  key: string,
  load: (context: LoadContext) => Body | PromiseLike<Body>,
  options: SetOptions,
): Promise<ReadableStream<Bytes>> {
  const call: CallOptions = { signal: options.signal, waitUntil: options.waitUntil };
  try {
    const opened = await openEntry(layers, key, call, true);
    if ("stream" in opened) return opened.stream;
    await layers.uploads.run(
      key,
      options.signal,
      (signal) => upload(layers, key, load, opened.condition, { ...options, signal }),
      (promise) => layers.waitUntilOf(options)?.(promise.catch(() => undefined)),
    );
    const stored = await openEntry(layers, key, call);
    if ("stream" in stored) return stored.stream;
  } catch (error) {
    if (!(isUnavailable(error) && layers.settings.bypassUnavailable)) throw error;
    layers.events.error(layers.keyOf(key), error);
  }
  // Without a store, or where the entry went again at once, each caller has a load of its own.
  layers.counters.calls++;
  return bodyStream(await load({ signal: options.signal ?? new AbortController().signal }));
}

async function upload(
  layers: Layers,
  key: string,
  load: (context: LoadContext) => Body | PromiseLike<Body>,
  condition: WriteCondition,
  options: SetOptions & { signal: AbortSignal },
): Promise<void> {
  const token = layers.order.begin(key);
  try {
    layers.counters.calls++;
    const body = await load({ signal: options.signal });
    if (!isBody(body))
      throw new TypeError(
        "the load of getOrSetStream must return a stream, a Blob or a Response; for values use getOrSet",
      );
    const policy = resolveEntry(options, layers.settings.entry);
    const { payload, stamp } = await toPayload(body, policy, options);
    const startedAt = performance.now();
    await layers.order.enqueue(key, async () => {
      if (token.superseded) {
        await ("getReader" in payload ? payload.cancel() : undefined);
        return;
      }
      const size = await putBody(layers, key, payload, stamp, condition, options);
      layers.memory?.delete(key);
      layers.events.emit("set", { key: layers.keyOf(key), size, duration: performance.now() - startedAt });
    });
  } catch (error) {
    // Somebody else has stored it meanwhile: theirs is read then.
    if (!(isBucketCacheError(error) && error.code === "ERR_CONFLICT")) throw error;
  } finally {
    layers.order.end(token);
  }
}

function checkRange(range: StreamOptions["range"]): void {
  if (range === undefined) return;
  const isCount = (value: number): boolean => Number.isSafeInteger(value) && value >= 0;
  if (!isCount(range.offset) || (range.length !== undefined && (!isCount(range.length) || range.length === 0))) {
    throw new TypeError("range needs an offset of 0 or more and, when given, a length of 1 or more, in whole bytes");
  }
}

function rangeLength(range: StreamOptions["range"], size: number): number {
  return range === undefined ? size : Math.max(0, Math.min(range.length ?? Infinity, size - range.offset));
}

function meter(onProgress: (progress: Progress) => void, total: number): TransformStream<Bytes, Bytes> {
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
