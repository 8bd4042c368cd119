/**
 * A process of its own for the calls that the demo measures, so that "another process" is one, and so that the
 * development server in the main process does not share their thread.
 *
 * @typedef {{ type: "call", name: import("./questions.mjs").QuestionName, args: readonly unknown[] }
 *   | { type: "again", name: import("./questions.mjs").QuestionName, args: readonly unknown[] }
 *   | { type: "preload" } | { type: "upload" } | { type: "download" }} Job
 */
import { createHash } from "node:crypto";
import { openCache } from "./bucket.mjs";
import { loadPlaces } from "./data.mjs";
import { startMeter } from "./meter.mjs";
import { distanceTable } from "./places.mjs";
import { cachedQuestions, DENSEST } from "./questions.mjs";

const TABLE_KEY = "exports/distances.csv";
const REPEATS = 1_000;

const meter = startMeter();
const cache = openCache(JSON.parse(process.env["DEMO_BUCKET"] ?? "{}"));
const questions = cachedQuestions(cache, loadPlaces);
const stop = new AbortController();

// Ctrl-C reaches the whole process group: the main process decides, so that an upload is aborted and not just killed.
process.on("SIGINT", () => {});
process.on("disconnect", () => process.exit());
process.on("message", (/** @type {Job | { type: "stop" } | { type: "exit" }} */ message) => {
  if (message.type === "stop") stop.abort();
  else if (message.type === "exit") void cache.close().then(() => process.disconnect());
  else
    void run(message).then(
      (result) => process.send?.({ type: "done", result }),
      (error) => process.send?.({ type: "failed", error: describe(error) }),
    );
});

/** @param {Job} job */
function run(job) {
  switch (job.type) {
    case "preload":
      return Promise.resolve(loadPlaces().length);
    case "call":
      return call(job.name, job.args);
    case "again":
      return again(job.name, job.args);
    case "upload":
      return upload();
    case "download":
      return download();
  }
}

/**
 * One call.
 *
 * @param {import("./questions.mjs").QuestionName} name
 * @param {readonly unknown[]} args
 */
async function call(name, args) {
  const ask = questionOf(name);
  const before = cache.stats();
  const traffic = meter.start();
  const start = performance.now();
  const value = await ask(...args);
  const ms = performance.now() - start;
  const { requests, bytes } = traffic();
  const after = cache.stats();
  const stored = after.store.bytesRead + after.store.bytesWritten - before.store.bytesRead - before.store.bytesWritten;
  return {
    plainBytes: Buffer.byteLength(JSON.stringify(value)),
    call: {
      answeredBy: after.calls > before.calls ? "function" : after.store.hits > before.store.hits ? "bucket" : "memory",
      ms,
      wireBytes: bytes,
      storedBytes: stored,
      requests,
    },
  };
}

/**
 * Many calls of what is in memory by now: one alone takes less time than a clock can tell.
 *
 * @param {import("./questions.mjs").QuestionName} name
 * @param {readonly unknown[]} args
 */
async function again(name, args) {
  const ask = questionOf(name);
  const hits = cache.stats().memory.hits;
  const traffic = meter.start();
  const start = performance.now();
  for (let i = 0; i < REPEATS; i++) await ask(...args);
  const ms = (performance.now() - start) / REPEATS;
  const { requests, bytes } = traffic();
  const answeredBy = cache.stats().memory.hits - hits === REPEATS ? "memory" : "bucket";
  return { call: { answeredBy, ms, wireBytes: bytes, storedBytes: 0, requests } };
}

/** A table that is never whole anywhere: made row by row, compressed and sent in parts while it is being made. */
async function upload() {
  const places = loadPlaces();
  const towns = (await questions.densestRegions(DENSEST)).slice(0, 16);
  const watch = observe();
  function* read() {
    for (const [row, place] of places.entries()) {
      watch.done(row / places.length);
      yield place;
    }
  }
  async function* table() {
    for await (const text of distanceTable(read(), towns)) yield watch.seen(Buffer.from(text));
  }
  await cache.set(TABLE_KEY, table(), {
    contentType: "text/csv",
    ttl: "1d",
    signal: stop.signal,
    onProgress: ({ loaded }) => watch.wire(loaded),
  });
  return watch.end();
}

async function download() {
  const watch = observe();
  const stream = await cache.getStream(TABLE_KEY, {
    signal: stop.signal,
    onProgress: ({ loaded, total }) => {
      watch.wire(loaded);
      if (total !== undefined) watch.done(loaded / total);
    },
  });
  if (stream === undefined) throw new Error(`${TABLE_KEY} is not in the bucket`);
  for await (const bytes of stream) watch.seen(bytes);
  return watch.end();
}

/**
 * Progress of a transfer so far.
 *
 * @typedef {object} Transfer
 * @property {number} done from 0 to 1
 * @property {number} ms
 * @property {number} plainBytes
 * @property {number} wireBytes
 * @property {number} grownBytes by which the process has grown at most
 */

/** Watches a transfer, and reports it ten times a second. */
function observe() {
  const hash = createHash("sha256");
  const traffic = meter.start();
  const start = performance.now();
  const rss = process.memoryUsage.rss();
  /** @type {Transfer} */
  const transfer = { done: 0, ms: 0, plainBytes: 0, wireBytes: 0, grownBytes: 0 };
  let reported = 0;
  return {
    /** @param {Uint8Array} bytes of the content, not compressed */
    seen(bytes) {
      hash.update(bytes);
      transfer.plainBytes += bytes.byteLength;
      transfer.ms = performance.now() - start;
      if (transfer.ms - reported > 100) {
        reported = transfer.ms;
        transfer.grownBytes = Math.max(transfer.grownBytes, process.memoryUsage.rss() - rss);
        process.send?.({ type: "progress", progress: transfer });
      }
      return bytes;
    },
    /** @param {number} loaded bytes, as they travel */
    wire(loaded) {
      transfer.wireBytes = loaded;
    },
    /** @param {number} done from 0 to 1 */
    done(done) {
      transfer.done = done;
    },
    end() {
      const ms = performance.now() - start;
      return { ...transfer, done: 1, ms, requests: traffic().requests, sha256: hash.digest("hex") };
    },
  };
}

/**
 * @param {import("./questions.mjs").QuestionName} name
 * @returns {(...args: readonly unknown[]) => Promise<unknown>}
 */
function questionOf(name) {
  return /** @type {any} */ (questions[name]);
}

/** @param {unknown} error */
function describe(error) {
  const { name, message, code } = /** @type {{ name?: string, message?: string, code?: string }} */ (error ?? {});
  return { name, message: message ?? String(error), code };
}
