/** Reads and loads bodies that may be too large for memory. */
import { OCTET_STREAM } from "../../base/media-type.js";
import { checkRange, clipRange, contentRange } from "../../base/range.js";
import { gunzipStream } from "../../entry/gzip-stream.js";
import { BucketCacheError } from "../../errors.js";
import type {
  Body,
  Bytes,
  ByteRange,
  CallOptions,
  FoundObject,
  LoadContext,
  ObjectHead,
  Progress,
  SetOptions,
  StreamOptions,
  WriteCondition,
} from "../../types.js";
import { decide } from "../failure.js";
import { resolveEntry } from "../settings.js";
import type { CacheState } from "../state.js";
import { isBody, toUpload } from "./body.js";
import { discardBody, ifUnchanged, type Inspection, inspect, isGzip } from "./read.js";
import { discardEnded } from "./remove.js";
import { uploadBody } from "./write.js";

/** An entry that is open for reading. */
interface OpenEntry {
  head: ObjectHead;
  entry: Inspection;
  stream: ReadableStream<Bytes>;
  /** Whether the bytes are still gzip, as they are stored. */
  isRaw: boolean;
}

/** The condition of a write that follows a miss. */
interface Miss {
  condition: WriteCondition;
}

type Load = (context: LoadContext) => Body | PromiseLike<Body>;

/** Returns an entry as a stream, always from the store; undefined for a miss. */
export async function getStream(
  state: CacheState,
  key: string,
  options: StreamOptions,
): Promise<ReadableStream<Bytes> | undefined> {
  const opened = await openEntry(state, key, options);
  return "stream" in opened ? opened.stream : undefined;
}

/** Returns an entry as a `Response`, always from the store; undefined for a miss. */
export async function getResponse(
  state: CacheState,
  key: string,
  options: StreamOptions,
): Promise<Response | undefined> {
  const opened = await openEntry(state, key, options);
  return "stream" in opened ? toResponse(opened, options.range) : undefined;
}

/** `isOverwriting` says that the caller will write the entry when it is absent, so that nothing need be deleted. */
async function openEntry(
  state: CacheState,
  key: string,
  options: StreamOptions,
  isOverwriting = false,
): Promise<OpenEntry | Miss> {
  const { concurrency, reporting, store } = state;
  const { signal, range } = options;
  signal?.throwIfAborted();
  checkRange(range);
  const startedAt = performance.now();
  await concurrency.settled(key, signal);
  const found = await store.get(key, { signal, ...(range && { range }) });
  if (found === undefined || found === "not-modified") {
    reporting.miss(key, startedAt);
    return { condition: { ifNoneMatch: "*" } };
  }
  const entry = inspect(state, key, found);
  if (entry.state !== "fresh") {
    await discardBody(found);
    reporting.miss(key, startedAt);
    if (entry.state === "ended" && !isOverwriting) discardEnded(state, key, found, options);
    return { condition: ifUnchanged(found.etag) };
  }
  const isRaw = options.raw === true;
  if (range !== undefined && entry.compressed && !isRaw) {
    await discardBody(found);
    const message =
      "a range of a compressed entry cannot be decoded: read all of it, read the stored bytes with raw: true, or store it with compress: false";
    throw new BucketCacheError("ERR_UNSUPPORTED", message, store.at(key));
  }
  reporting.storeHit(key, startedAt);
  const length = lengthOf(range, found);
  reporting.counters.store.bytesRead += length ?? 0;
  const { onProgress } = options;
  let stream = found.body;
  if (onProgress !== undefined) stream = stream.pipeThrough(meter(onProgress, length));
  if (entry.compressed && !isRaw) stream = await gunzipped(stream, entry);
  return { head: found, entry, stream, isRaw: isRaw && entry.compressed };
}

async function gunzipped(stream: ReadableStream<Bytes>, { codec }: Inspection): Promise<ReadableStream<Bytes>> {
  if (codec !== undefined) return gunzipStream(stream);
  // Python's `S3Cache` flags streams as compressed which it stores plain.
  const peeked = await peek(stream);
  return isGzip(peeked.start) ? gunzipStream(peeked.stream, "any") : peeked.stream;
}

function toResponse({ head, entry, stream, isRaw }: OpenEntry, range: ByteRange | undefined): Response {
  const headers = new Headers({ "content-type": head.contentType || OCTET_STREAM });
  // A proxy may have dropped the time, which is an invalid date then.
  if (head.lastModified.getTime() >= 0) headers.set("last-modified", head.lastModified.toUTCString());
  if (isRaw) headers.set("content-type", "application/gzip");
  const length = lengthOf(range, head);
  // The length of what is gunzipped on the way is not known.
  if (length !== undefined && (!entry.compressed || isRaw)) headers.set("content-length", String(length));
  if (range === undefined) return new Response(stream, { headers });
  if (length !== undefined) {
    headers.set("content-range", contentRange(range.offset, range.offset + length, head.size));
  }
  return new Response(stream, { status: 206, headers });
}

/**
 * Returns an entry as a stream. When it is absent, the body that `load` returns goes to the store first, and from there
 * to all who wait.
 */
export async function getOrSetStream(
  state: CacheState,
  key: string,
  load: Load,
  options: SetOptions,
): Promise<ReadableStream<Bytes>> {
  const { concurrency, reporting } = state;
  const { signal, waitUntil } = options;
  const call: CallOptions = { signal, waitUntil };
  let condition: WriteCondition | undefined;
  // A caller that comes while it is being written need not ask first.
  if (!concurrency.uploads.has(key)) {
    const opened = await openAround(state, key, call);
    if (opened !== undefined && "stream" in opened) return opened.stream;
    condition = opened?.condition;
  }
  if (condition !== undefined || concurrency.uploads.has(key)) {
    await concurrency.once(concurrency.uploads, key, options, (signal) =>
      upload(state, key, load, condition ?? {}, { ...options, signal }),
    );
    const stored = await openAround(state, key, call);
    if (stored !== undefined && "stream" in stored) return stored.stream;
  }
  // Without a store, or when the entry was deleted again at once, each caller loads for itself.
  reporting.counters.calls++;
  const { body } = toUpload(await load(contextOf(signal)), options);
  return "getReader" in body ? body : (body.stream() as ReadableStream<Bytes>);
}

/** Opens an entry that is about to be written when it is absent. Returns undefined when the store is to be bypassed. */
async function openAround(state: CacheState, key: string, call: CallOptions): Promise<OpenEntry | Miss | undefined> {
  const { concurrency, reporting, settings } = state;
  for (;;) {
    const operation = concurrency.begin(key);
    try {
      const opened = await openEntry(state, key, call, true);
      // A miss from before a write is no longer true.
      if ("stream" in opened || !operation.superseded) return opened;
    } catch (error) {
      if (decide("openAround", error, settings) !== "bypass") throw error;
      reporting.error(key, error);
      return undefined;
    } finally {
      concurrency.end(operation);
    }
  }
}

async function upload(
  state: CacheState,
  key: string,
  load: Load,
  condition: WriteCondition,
  options: SetOptions,
): Promise<void> {
  const { concurrency, memory, reporting, settings } = state;
  const policy = resolveEntry(options, settings.entry);
  const operation = concurrency.begin(key);
  try {
    reporting.counters.calls++;
    const body = await load(contextOf(options.signal));
    if (!isBody(body)) {
      throw new TypeError(
        "the load of getOrSetStream must return a stream, a Blob or a Response; for values use getOrSet",
      );
    }
    const payload = toUpload(body, options);
    const startedAt = performance.now();
    await concurrency.inTurn(key, async () => {
      if (operation.superseded) {
        if ("getReader" in payload.body) await payload.body.cancel();
        return;
      }
      let isSourceError = false;
      const onSourceError = (): void => void (isSourceError = true);
      try {
        const size = await uploadBody(state, { key, upload: payload, policy, condition, onSourceError }, options);
        concurrency.supersedeReads(key, operation);
        memory.delete(key);
        reporting.stored(key, size, startedAt);
      } catch (error) {
        const decision = isSourceError ? "throw" : decide("upload", error, settings);
        if (decision === "throw") throw error;
        // With "yield", another process has stored it meanwhile: that entry is read then.
        if (decision === "bypass") reporting.error(key, error);
      }
    });
  } finally {
    concurrency.end(operation);
  }
}

function contextOf(signal: AbortSignal | undefined): LoadContext {
  return { signal: signal ?? new AbortController().signal };
}

/** Returns the bytes that a read gives; undefined where the store does not know the size of the object. */
function lengthOf(range: ByteRange | undefined, { size }: Pick<FoundObject, "size">): number | undefined {
  if (!(size >= 0)) return undefined;
  const { start, end } = clipRange(range, size);
  return end - start;
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

/** Returns the first bytes of a stream, and the whole stream. */
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
