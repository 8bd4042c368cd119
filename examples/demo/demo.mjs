import { openCache } from "./bucket.mjs";
import { startWorker } from "./process.mjs";
import { DEMO_QUESTIONS } from "./questions.mjs";
import * as table from "./table.mjs";

/**
 * Asks the questions, each in two processes, sends a large table to the bucket and back, and prints what it took.
 *
 * @param {import("./bucket.mjs").Bucket} bucket
 * @param {import("./screen.mjs").Screen} screen
 * @param {AbortSignal} signal
 * @returns {Promise<{ warm: boolean }>} whether earlier runs had left results in the bucket
 */
export async function runDemo(bucket, screen, signal) {
  const cache = openCache(bucket);
  try {
    // One read before all else, so that what is wrong with the bucket is said at once.
    await cache.get("hello", { signal });
    const worker = startWorker(bucket, signal);
    try {
      screen.busy("reading the places of the world");
      const places = await worker.run({ type: "preload" });
      screen.print(
        `Four questions about ${table.formatCount(places)} places of the world (GeoNames), each asked in two`,
        "processes, which have nothing in common but the bucket.",
        "",
        table.renderHeader(screen.styles),
      );
      let warm = false;
      for (const question of DEMO_QUESTIONS) {
        const result = await ask(question, { cache, bucket, worker, screen, signal });
        screen.print(table.renderResult(result, screen.styles), "");
        warm ||= result.rows[0]?.label === EARLIER;
      }
      screen.print(
        screen.styles.dim(
          "  On the wire: every byte of the sockets, headers too. Same process: the mean of\n" +
            "  1,000 calls. gzip: the JSON against what is stored.",
        ),
      );
      await stream({ bucket, worker, screen, signal });
      return { warm };
    } finally {
      screen.idle();
      await worker.end();
    }
  } finally {
    await cache.close();
  }
}

const EARLIER = "earlier run";

/**
 * @typedef {object} Stage
 * @property {import("./bucket.mjs").Bucket} bucket
 * @property {ReturnType<typeof startWorker>} worker
 * @property {import("./screen.mjs").Screen} screen
 * @property {AbortSignal} signal
 */

/**
 * @param {typeof DEMO_QUESTIONS[number]} question
 * @param {Stage & { cache: import("bucketcache").Cache }} stage
 * @returns {Promise<table.Result>}
 */
async function ask({ name, args, title }, { cache, bucket, worker, screen, signal }) {
  screen.busy(title);
  const first = await worker.run({ type: "call", name, args });
  const other = startWorker(bucket, signal);
  try {
    const second = await other.run({ type: "call", name, args });
    const third = await other.run({ type: "again", name, args });
    const rows = [
      { label: "first call", call: first.call },
      { label: "another process", call: second.call },
      { label: "same process", call: third.call },
    ];
    // The duration of the first call is kept too: in a warm bucket there is nothing else to compare with.
    const key = `first-calls/${name}`;
    if (first.call.answeredBy === "function") await cache.set(key, first.call, { ttl: "1d" });
    else {
      const call = await cache.get(key);
      if (call !== undefined) rows.unshift({ label: EARLIER, call });
    }
    return { title, plainBytes: first.plainBytes, rows };
  } finally {
    await other.end();
  }
}

/** @param {Stage} stage */
async function stream({ bucket, worker, screen, signal }) {
  const { bold, dim } = screen.styles;
  screen.print("", bold("A stream: how far every place is from the 16 densest regions, as CSV"));
  const up = await worker.run({ type: "upload" }, (transfer) => screen.progress("set", "sent", transfer));
  screen.progress("set", "sent", up);
  const reader = startWorker(bucket, signal);
  try {
    const down = await reader.run({ type: "download" }, (transfer) =>
      screen.progress("getStream", "received", transfer),
    );
    screen.progress("getStream", "received", down);
    if (up.sha256 !== down.sha256) throw new Error("What came back is not what was sent.");
    screen.print(
      dim(
        `  The same bytes came back (SHA-256 ${up.sha256.slice(0, 8)}…). Requests: ${up.requests.length} up, ` +
          `${down.requests.length} down.\n` +
          `  While they streamed the processes grew by ${table.formatBytes(Math.max(up.grownBytes, down.grownBytes))} at most.`,
      ),
    );
  } finally {
    await reader.end();
  }
}
