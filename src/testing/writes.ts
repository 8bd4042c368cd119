import { utf8 } from "../base/bytes.js";
import { isBucketCacheError } from "../errors.js";
import type { ObjectStore } from "../types.js";
import type { Promised } from "./conformance.js";
import {
  check,
  chunked,
  content,
  equal,
  equalBytes,
  equalMetadata,
  fail,
  metadataFor,
  pattern,
  PLAIN,
  rejection,
  rejectsWithCode,
  soon,
} from "./expect.js";

const MIB = 1_048_576;
/** SHA-256 of "hello". */
const SHA256_HELLO = "LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=";

const text = async (store: ObjectStore, key: string): Promise<string> =>
  new TextDecoder().decode(await content(store, key));

/** Registers the promises of `put` and `delete`. */
export function writes(promise: Promised): void {
  bodiesWritten(promise);
  failedWrites(promise);
  abortedWrites(promise);
  conditionalWrites(promise);
  checkedWrites(promise);
  deletes(promise);
}

function bodiesWritten(promise: Promised): void {
  promise("replaces an object whole: body, type, metadata and ETag", async (store, prefix) => {
    const key = `${prefix}object`;
    const first = await store.put(key, utf8("the first one"), {
      contentType: "text/plain",
      metadata: metadataFor(store, { a: "1" }),
    });
    const second = await store.put(key, utf8("second"), {
      contentType: "text/html",
      metadata: metadataFor(store, { b: "2" }),
    });
    check(first.etag !== second.etag, "another content should have another ETag");
    const head = await store.head(key);
    equal(head?.etag, second.etag, "the ETag after an overwrite");
    equal(head?.contentType, "text/html", "contentType after an overwrite");
    equalMetadata(store, head?.metadata, { b: "2" }, "metadata after an overwrite");
    equal(head?.size, 6, "size after an overwrite");
    equal(await text(store, key), "second", "the body after an overwrite");
  });

  const large: Record<string, () => Parameters<ObjectStore["put"]>[1]> = {
    bytes: () => pattern(6 * MIB),
    "a stream": () => chunked(pattern(6 * MIB), 100_000),
    "a Blob": () => new Blob([pattern(6 * MIB)]),
  };
  for (const [name, body] of Object.entries(large)) {
    promise(`takes a large body: ${name}`, async (store, prefix) => {
      const { etag } = await store.put(`${prefix}object`, body(), PLAIN);
      const head = await store.head(`${prefix}object`);
      equal(head?.size, 6 * MIB, "size of a large object");
      equal(head?.etag, etag, "the ETag of a large object");
      equalBytes(await content(store, `${prefix}object`), pattern(6 * MIB), "a large object");
    });
  }

  promise("writes the part of a buffer that a view shows, and no more", async (store, prefix) => {
    await store.put(`${prefix}object`, utf8("..view..").subarray(2, 6), PLAIN);
    equal(await text(store, `${prefix}object`), "view", "the object written from a view");
  });

  promise("keeps its own copy: changing the array or the metadata later changes nothing", async (store, prefix) => {
    const body = utf8("before");
    const metadata = metadataFor(store, { a: "1" });
    await store.put(`${prefix}object`, body, { contentType: "text/plain", metadata });
    body.fill(0);
    metadata["entry"] = "2";
    delete metadata["a"];
    equal(await text(store, `${prefix}object`), "before", "the object after its array was changed");
    equalMetadata(
      store,
      (await store.head(`${prefix}object`))?.metadata,
      { a: "1" },
      "metadata after the caller's object was changed",
    );
  });
}

function failedWrites(promise: Promised): void {
  promise("leaves what was there when a stream fails, and nothing where nothing was", async (store, prefix) => {
    const own = new Error("the source broke");
    await store.put(`${prefix}old`, utf8("old"), PLAIN);
    // The second is long enough that parts of it are on their way when it fails.
    for (const size of [100_000, 9 * MIB]) {
      const failing = (): ReadableStream<Uint8Array> => chunked(pattern(size), 100_000, () => Promise.reject(own));
      for (const name of ["old", "new"]) {
        const what = `put of a stream that fails after ${size} bytes`;
        const error = await soon(rejection(store.put(prefix + name, failing(), PLAIN), what), what);
        check(
          error === own || (error as Error).cause === own,
          `${what} should reject with its error, not with ${String(error)}`,
        );
      }
    }
    equal(await text(store, `${prefix}old`), "old", "the object that was there");
    equal(await store.head(`${prefix}new`), undefined, "the object that never was");
  });
}

function abortedWrites(promise: Promised): void {
  promise("leaves what was there when a write is aborted, and cancels its source", async (store, prefix) => {
    await store.put(`${prefix}old`, utf8("old"), PLAIN);
    for (const name of ["old", "new"]) {
      const controller = new AbortController();
      const reason = new Error("changed my mind");
      let cancelled: () => void = () => {};
      const cancellation = new Promise<void>((resolve) => (cancelled = resolve));
      let pulls = 0;
      const source = new ReadableStream<Uint8Array<ArrayBuffer>>(
        {
          pull(stream) {
            if (pulls++ === 0) return stream.enqueue(pattern(50_000));
            // The store waits for a chunk that never comes: only the abort ends this.
            setTimeout(() => controller.abort(reason), 0);
            return new Promise(() => {});
          },
          cancel: () => cancelled(),
        },
        { highWaterMark: 0 },
      );
      const put = store.put(prefix + name, source, { ...PLAIN, signal: controller.signal });
      equalReason(await soon(rejection(put, "an aborted put"), "an aborted put"), reason, "an aborted put");
      await soon(cancellation, "the cancellation of an aborted put's source");
    }
    equal(await text(store, `${prefix}old`), "old", "the object that was there");
    equal(await store.head(`${prefix}new`), undefined, "the object that never was");
  });

  promise("rejects every call with the reason of a signal that is aborted, and does nothing", async (store, prefix) => {
    const key = `${prefix}object`;
    await store.put(key, utf8("old"), PLAIN);
    for (const reason of [new Error("stop"), "any value at all"]) {
      const signal = AbortSignal.abort(reason);
      const calls: Record<string, () => Promise<unknown>> = {
        get: () => store.get(key, { signal }),
        head: () => store.head(key, { signal }),
        put: () => store.put(key, utf8("new"), { ...PLAIN, signal }),
        "put of a stream": () => store.put(key, chunked(utf8("new"), 1), { ...PLAIN, signal }),
        delete: () => store.delete(key, { signal }),
        list: async () => {
          for await (const _ of store.list(prefix, { signal })) fail("an aborted list should yield nothing");
        },
      };
      if (store.deleteMany !== undefined) calls["deleteMany"] = async () => store.deleteMany?.([key], { signal });
      for (const [name, call] of Object.entries(calls)) {
        equalReason(
          await soon(rejection(call(), `an aborted ${name}`), `an aborted ${name}`),
          reason,
          `an aborted ${name}`,
        );
      }
    }
    equal(await text(store, key), "old", "the object after aborted calls");
  });
}

function conditionalWrites(promise: Promised): void {
  promise("writes with ifNoneMatch only where nothing is", async (store, prefix) => {
    const key = `${prefix}object`;
    await store.put(key, utf8("first"), { ...PLAIN, ifNoneMatch: "*" });
    const bodies = { bytes: utf8("second"), stream: chunked(utf8("third"), 2), blob: new Blob(["fourth"]) };
    for (const [name, body] of Object.entries(bodies)) {
      await rejectsWithCode(
        store.put(key, body, { ...PLAIN, ifNoneMatch: "*" }),
        "ERR_CONFLICT",
        `${name} put with ifNoneMatch over an object`,
      );
    }
    equal(await text(store, key), "first", "the object");
    await store.delete(key);
    await store.put(key, utf8("again"), { ...PLAIN, ifNoneMatch: "*" });
    equal(await text(store, key), "again", "the object written after a delete");
  });

  promise("writes with ifMatch only over the object of that ETag", async (store, prefix) => {
    const key = `${prefix}object`;
    const { etag } = await store.put(key, utf8("one"), PLAIN);
    const next = await store.put(key, utf8("two"), { ...PLAIN, ifMatch: etag });
    await rejectsWithCode(
      store.put(key, utf8("three"), { ...PLAIN, ifMatch: etag }),
      "ERR_CONFLICT",
      "put with an older ETag",
    );
    equal(await text(store, key), "two", "the object");
    await store.put(key, chunked(utf8("four"), 3), { ...PLAIN, ifMatch: next.etag });
    equal(await text(store, key), "four", "the object streamed over its ETag");
    await rejectsWithCode(
      store.put(`${prefix}absent`, utf8("x"), { ...PLAIN, ifMatch: etag }),
      "ERR_CONFLICT",
      "put with ifMatch where nothing is",
    );
    equal(await store.head(`${prefix}absent`), undefined, "the object that never was");
  });

  promise("holds a body that is uploaded in parts to its condition", async (store, prefix) => {
    const key = `${prefix}object`;
    // Larger than a part of any store here.
    const large = (): ReadableStream<Uint8Array> => chunked(pattern(9 * MIB), 500_000);
    const { etag } = await store.put(key, large(), { ...PLAIN, ifNoneMatch: "*" });
    await rejectsWithCode(
      store.put(key, large(), { ...PLAIN, ifNoneMatch: "*" }),
      "ERR_CONFLICT",
      "a large put with ifNoneMatch over an object",
    );
    await store.put(key, large(), { ...PLAIN, ifMatch: etag });
    const next = await store.put(key, utf8("newer"), PLAIN);
    await rejectsWithCode(
      store.put(key, large(), { ...PLAIN, ifMatch: etag }),
      "ERR_CONFLICT",
      "a large put with an older ETag",
    );
    equal(await text(store, key), "newer", "the object after a large put that failed");
    await store.put(key, large(), { ...PLAIN, ifMatch: next.etag });
    equal((await store.head(key))?.size, 9 * MIB, "the size of the object that was put over its ETag");
  });

  promise("lets one of eight writers win who all want to be the first", async (store, prefix) => {
    const key = `${prefix}object`;
    const outcomes = await Promise.allSettled(
      Array.from({ length: 8 }, (_, i) => store.put(key, utf8(`writer ${i}`), { ...PLAIN, ifNoneMatch: "*" })),
    );
    const winners = outcomes.flatMap((outcome, i) => (outcome.status === "fulfilled" ? [i] : []));
    equal(winners.length, 1, "the number of writers who won");
    equal(await text(store, key), `writer ${winners[0]}`, "the object");
    for (const outcome of outcomes) {
      if (outcome.status === "fulfilled") continue;
      const { reason } = outcome as { reason: unknown };
      check(
        isBucketCacheError(reason) && reason.code === "ERR_CONFLICT",
        `losers should get ERR_CONFLICT, not ${String(reason)}`,
      );
    }
  });
}

function checkedWrites(promise: Promised): void {
  promise("refuses a body that has not the announced SHA-256", async (store, prefix) => {
    const key = `${prefix}object`;
    await store.put(key, utf8("hello"), { ...PLAIN, sha256: SHA256_HELLO });
    const error = await rejection(
      store.put(key, utf8("hallo"), { ...PLAIN, sha256: SHA256_HELLO }),
      "put of another body",
    );
    check(
      isBucketCacheError(error),
      `put of another body should reject with a BucketCacheError, not with ${String(error)}`,
    );
    equal(await text(store, key), "hello", "the object");
  });

  promise("tells the progress of a write, up to its end", async (store, prefix) => {
    const size = 200_000;
    const bodies = { bytes: pattern(size), stream: chunked(pattern(size), 50_000), blob: new Blob([pattern(size)]) };
    for (const [name, body] of Object.entries(bodies)) {
      const seen: number[] = [];
      await store.put(prefix + name, body, {
        ...PLAIN,
        onProgress({ loaded, total }) {
          seen.push(loaded);
          check(total === undefined || total === size, `total of ${name} should be its size or undefined`);
        },
      });
      check(
        seen.every((loaded, i) => loaded >= (seen[i - 1] ?? 0)),
        `progress of ${name} should not go back`,
      );
      equal(seen.at(-1), size, `the last progress of ${name}`);
    }
  });
}

function deletes(promise: Promised): void {
  promise("deletes an object, and takes an absent one for deleted", async (store, prefix) => {
    const key = `${prefix}object`;
    await store.put(key, utf8("x"), PLAIN);
    await store.delete(key);
    equal(await store.head(key), undefined, "the deleted object");
    await store.delete(key);
    await store.delete(`${prefix}never was`);
  });

  promise(
    "deletes with the ETag that is current, and never claims a deletion that it did not make",
    async (store, prefix) => {
      const key = `${prefix}object`;
      const { etag } = await store.put(key, utf8("old"), PLAIN);
      await store.put(key, utf8("new"), PLAIN);
      const kept = await store.delete(key, { ifMatch: etag }).then(
        () => false,
        (error: unknown) => {
          check(
            isBucketCacheError(error) && error.code === "ERR_CONFLICT",
            `delete with an older ETag should be ERR_CONFLICT, not ${String(error)}`,
          );
          return true;
        },
      );
      // A store that ignores the condition deletes; one that honours it says so and keeps the object.
      equal(
        (await store.head(key)) !== undefined,
        kept,
        "that the object is still there after a delete with an older ETag",
      );

      const last = await store.put(key, utf8("last"), PLAIN);
      await store.delete(key, { ifMatch: last.etag });
      equal(await store.head(key), undefined, "the object deleted with its ETag");
    },
  );

  promise("deletes many at once, where it can, and only those", async (store, prefix) => {
    if (store.deleteMany === undefined) return;
    const gone = ["a", "b/c", "d & <e>", "f+g %20", "ü", "h\"i'j"];
    for (const key of [...gone, "a2", "b/cd", "b/d"]) await store.put(prefix + key, utf8(key), PLAIN);
    await store.deleteMany([...gone, "never was"].map((key) => prefix + key));
    await store.deleteMany([]);
    for (const key of gone)
      equal(await store.head(prefix + key), undefined, `the deleted object ${JSON.stringify(key)}`);
    for (const key of ["a2", "b/cd", "b/d"])
      equal(await text(store, prefix + key), key, "an object that was not named");
  });
}

function equalReason(actual: unknown, reason: unknown, what: string): void {
  check(actual === reason, `${what} should reject with the signal's own reason, not with ${String(actual)}`);
}
