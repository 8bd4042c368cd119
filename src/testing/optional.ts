import { readAll } from "../base/body.js";
import { utf8 } from "../base/bytes.js";
import { formatMetadata, newNonce, parseMetadata, type EntryMetadata } from "../entry/entry.js";
import { isBucketCacheError } from "../errors.js";
import type { BucketSigner, Bytes, ObjectStore, SignableRequest } from "../types.js";
import type { Promised } from "./conformance.js";
import {
  check,
  content,
  equal,
  equalBytes,
  fail,
  found,
  metadataFor,
  pattern,
  PLAIN,
  rejection,
  rejectsWithCode,
  soon,
} from "./expect.js";

/** Difference that is allowed between two tellings of one time: a store may tell whole seconds, and be slow. */
const WRITE_TOLERANCE_MS = 5_000;

/** Difference that is allowed between two clocks that should be one. */
const CLOCK_TOLERANCE_MS = 60_000;

const GRANT_SECONDS = 300;

/** Registers the promises of the members that a store may leave out. A store without the member keeps the promise. */
export function optional(promise: Promised): void {
  bytesOfFound(promise);
  written(promise);
  preparation(promise);
  time(promise);
  signing(promise);
}

function bytesOfFound(promise: Promised): void {
  promise("reads a body in one piece by bytes, where it can: the same as by body", async (store, prefix) => {
    const whole = pattern(300_000);
    await store.put(`${prefix}object`, whole, PLAIN);
    await store.put(`${prefix}empty`, new Uint8Array(0), PLAIN);
    const all = await inOnePiece(store, `${prefix}object`, 300_000);
    if (all === undefined) return;
    equalBytes(all, whole, "the bytes of an object");
    all.fill(0);
    const again = await inOnePiece(store, `${prefix}object`, 1e9);
    equalBytes(again ?? all, whole, "the bytes after a reader changed its copy");
    equal((await inOnePiece(store, `${prefix}empty`, 0))?.byteLength, 0, "the bytes of an empty object");
    const range = { offset: 1_000, length: 500 };
    const part = await inOnePiece(store, `${prefix}object`, 500, range);
    equalBytes(part ?? new Uint8Array(0), whole.subarray(1_000, 1_500), "the bytes of a part");
  });

  promise("refuses by bytes, where it has it, a body beyond the limit", async (store, prefix) => {
    const key = `${prefix}object`;
    await store.put(key, pattern(300_000), PLAIN);
    for (const maxBytes of [0, 1_000, 299_999]) {
      const read = inOnePiece(store, key, maxBytes);
      if ((await read.catch(() => "refused")) === undefined) return;
      await rejectsWithCode(read, "ERR_TOO_LARGE", `bytes of an object larger than ${maxBytes} bytes`);
    }
    equalBytes(await content(store, key), pattern(300_000), "the object after reads that were refused");
  });
}

/** Reads an object by `bytes`; undefined where the store has no such way. */
async function inOnePiece(
  store: ObjectStore,
  key: string,
  maxBytes: number,
  range?: { offset: number; length: number },
): Promise<Bytes | undefined> {
  const object = await found(store, key, range && { range });
  if (object.bytes !== undefined) return soon(object.bytes(maxBytes), "bytes of an object");
  await object.body.cancel();
  return undefined;
}

function written(promise: Promised): void {
  promise("tells by put, where it can, the time of the write as head does", async (store, prefix) => {
    const key = `${prefix}object`;
    const { lastModified } = await store.put(key, utf8("x"), PLAIN);
    if (lastModified === undefined) return;
    check(lastModified instanceof Date, "lastModified of a write should be a Date");
    const head = await store.head(key);
    near(lastModified.getTime(), Number(head?.lastModified), WRITE_TOLERANCE_MS, "lastModified of a write");
  });

  promise("tells by put, where it can, the end of the entry as head does", async (store, prefix) => {
    const key = `${prefix}object`;
    const asked = entryThatEndsIn(3_600);
    const { expiresAt } = await store.put(key, utf8("{}"), entryOptions(asked));
    if (expiresAt === undefined) return;
    const end = Number((await store.head(key))?.metadata["expires_at"]);
    near(expiresAt * 1_000, end * 1_000, 1_000, "expiresAt of a write");
  });

  promise("makes the metadata of entries itself where stampsEntries says so", async (store, prefix) => {
    if (store.stampsEntries === undefined) return;
    check(typeof store.stampsEntries === "boolean", "stampsEntries should be a boolean, or absent");
    if (!store.stampsEntries) return;
    const key = `${prefix}object`;
    const asked = entryThatEndsIn(3_600);
    await store.put(key, utf8("{}"), entryOptions(asked));
    const head = await store.head(key);
    const stamped = parseMetadata(head?.metadata ?? {});
    if (stamped.kind !== "entry") return fail("the metadata of an entry should be an entry's after put");
    const { codec, nonce, created, expiresAt = NaN } = stamped.meta;
    equal(codec, asked.codec, "the codec of the entry");
    check(nonce !== asked.nonce, "a store with stampsEntries should choose the nonce of the entry itself");
    near((expiresAt - created) * 1_000, 3_600_000, CLOCK_TOLERANCE_MS, "the life of the entry");
    if (head?.now !== undefined) near(created * 1_000, +head.now, CLOCK_TOLERANCE_MS, "created of the entry");
  });
}

function entryThatEndsIn(seconds: number): EntryMetadata {
  const created = Date.now() / 1_000;
  return { created, codec: "json", nonce: newNonce(), expiresAt: created + seconds, compressed: false };
}

function entryOptions(entry: EntryMetadata): { contentType: string; metadata: Record<string, string> } {
  return { contentType: "application/json", metadata: formatMetadata(entry) };
}

function preparation(promise: Promised): void {
  promise("prepares to read keys, where it can, and changes nothing by that", async (store, prefix) => {
    if (store.prepare === undefined) return;
    const keys = ["a", "b/c", "ü"].map((key) => prefix + key);
    for (const key of keys) await store.put(key, utf8(key), PLAIN);
    equal(store.prepare([...keys, `${prefix}absent`]), undefined, "the result of prepare");
    store.prepare([]);
    for (const key of keys) {
      equal(new TextDecoder().decode(await content(store, key)), key, "an object that was prepared for");
    }
    equal(await store.get(`${prefix}absent`), undefined, "get of an absent key that was prepared for");
    await store.put(`${prefix}absent`, utf8("new"), PLAIN);
    equal(new TextDecoder().decode(await content(store, `${prefix}absent`)), "new", "an object written after prepare");
  });
}

function time(promise: Promised): void {
  promise("tells its time by now, where it can, as its answers do", async (store, prefix) => {
    if (store.now === undefined) return;
    checkTime(store.now(), "now before the first answer");
    await store.put(`${prefix}object`, utf8("x"), PLAIN);
    const head = await store.head(`${prefix}object`);
    const now = store.now();
    checkTime(now, "now");
    if (now !== undefined && head?.now !== undefined) near(now, +head.now, CLOCK_TOLERANCE_MS, "now");
  });
}

function checkTime(now: unknown, what: string): void {
  check(
    now === undefined || Number.isFinite(now),
    `${what} should be undefined or Unix milliseconds, not ${String(now)}`,
  );
}

function signing(promise: Promised): void {
  /** Registers a promise of stores that sign. */
  const signs: PromisedOfSigner = (name, body) =>
    promise(`signs for others, where it can: ${name}`, async (store, prefix) => {
      if (store.signer !== undefined) await body(store.signer, store, prefix);
    });
  signedReads(signs);
  uploadsInParts(signs);
  pages(signs);
}

type PromisedOfSigner = (
  name: string,
  body: (signer: BucketSigner, store: ObjectStore, prefix: string) => Promise<void>,
) => void;

function signedReads(signs: PromisedOfSigner): void {
  signs("a GET that reads the object, and no other", async (signer, store, prefix) => {
    const key = `${prefix}a b/ü+%20`;
    await store.put(key, utf8("signed"), PLAIN);
    const head = await store.head(key);
    const request: SignableRequest = { method: "GET", key };
    const signed = await signer.sign(request, GRANT_SECONDS);
    const now = +(head?.now ?? Date.now());
    near(signed.expiresAt * 1_000, now + GRANT_SECONDS * 1_000, CLOCK_TOLERANCE_MS, "expiresAt of a signed request");
    const answer = await send(signer, request);
    equal(answer.status, 200, "the status of a signed GET");
    equal(await answer.text(), "signed", "the object that a signed GET reads");
    const absent = await send(signer, { method: "GET", key: `${prefix}absent` });
    await absent.body?.cancel();
    check(!absent.ok, "a signed GET of an absent object should not succeed");
  });
}

function uploadsInParts(signs: PromisedOfSigner): void {
  signs("an upload in parts, which is an object once it is completed", async (signer, store, prefix) => {
    const key = `${prefix}object`;
    const metadata = metadataFor(store, { one: "1" });
    const headers = { "content-type": "image/png", "x-amz-meta-one": "1" };
    const uploadId = await signer.createUpload(key, headers);
    check(typeof uploadId === "string" && uploadId !== "", "createUpload should resolve to an id");
    equal(await signer.listParts(key, uploadId), [], "the parts of a new upload");
    const query = { partNumber: "1", uploadId };
    const answer = await send(signer, { method: "PUT", key, query, headers: { "content-length": "5" } }, utf8("hello"));
    equal(answer.status, 200, "the status of a signed part");
    await answer.body?.cancel();
    const parts = await signer.listParts(key, uploadId);
    equal(
      parts.map(({ partNumber, size }) => [partNumber, size]),
      [[1, 5]],
      "number and size of the parts of the upload",
    );
    // A page may not see the header.
    const etag = answer.headers.get("etag") ?? parts[0]?.etag;
    check(typeof etag === "string" && etag === parts[0]?.etag, "listParts should tell the ETag of the part");
    equal(await store.head(key), undefined, "the object before the upload is completed");
    const completed = await signer.completeUpload(key, uploadId, parts, { ifNoneMatch: "*" });
    const object = await found(store, key);
    equal(new TextDecoder().decode(await readAll(object.body, 100)), "hello", "the object that was uploaded");
    equal(object.etag, completed.etag, "the ETag of the object that was uploaded");
    equal(object.contentType, "image/png", "the content type of the object that was uploaded");
    equal(object.metadata, metadata, "the metadata of the object that was uploaded");
  });

  signs("the abort of an upload, which may have ended already", async (signer, store, prefix) => {
    const key = `${prefix}object`;
    const uploadId = await signer.createUpload(key, { "content-type": "text/plain" });
    await signer.abortUpload(key, uploadId);
    await signer.abortUpload(key, uploadId);
    const error = await rejection(signer.listParts(key, uploadId), "listParts of an upload that was aborted");
    check(isBucketCacheError(error), `listParts should reject with a BucketCacheError, not with ${String(error)}`);
    equal(await store.head(key), undefined, "the object whose upload was aborted");
  });
}

function pages(signs: PromisedOfSigner): void {
  signs("a page of the objects below a prefix", async (signer, store, prefix) => {
    const written = await store.put(`${prefix}in/ü &`, utf8("hello"), PLAIN);
    await store.put(`${prefix}out`, utf8("x"), PLAIN);
    const { objects, cursor } = await signer.listPage(`${prefix}in`);
    equal(objects.length, 1, "the number of objects on the page");
    equal(objects[0]?.key, `${prefix}in/ü &`, "the key on the page");
    equal(objects[0]?.size, 5, "the size on the page");
    equal(objects[0]?.etag, written.etag, "the ETag on the page");
    check(objects[0]?.lastModified instanceof Date, "lastModified on the page should be a Date");
    equal(cursor, undefined, "the cursor of the last page");
    equal((await signer.listPage(`${prefix}none`)).objects, [], "the objects below a prefix without any");
  });
}

/** Signs a request, and sends it as somebody without credentials would. */
async function send(signer: BucketSigner, request: SignableRequest, body?: Bytes): Promise<Response> {
  const { method, url, headers } = await signer.sign(request, GRANT_SECONDS);
  // The runtime itself sends the length, which is that of the body.
  const { "content-length": _, ...rest } = headers;
  return fetch(url, { method, headers: rest, ...(body !== undefined && { body }) });
}

function near(actual: number, expected: number, toleranceMs: number, what: string): void {
  const difference = Math.abs(actual - expected);
  // Not `>`: that holds for NaN too.
  if (!(difference <= toleranceMs)) {
    fail(`${what} should be ${show(expected)} within ${toleranceMs / 1_000} seconds, and is ${show(actual)}`);
  }
}

function show(milliseconds: number): string {
  return Math.abs(milliseconds) <= 8.64e15 ? new Date(milliseconds).toISOString() : String(milliseconds);
}
