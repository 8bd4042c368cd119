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
 */
export async function runDemo(bucket, screen, signal) {
  await greet(bucket);
  const worker = startWorker(bucket, signal);
  try {
    screen.busy("reading the places of the world");
    await worker.run({ type: "preload" });
    const warm = await askAll(bucket, worker, screen, signal);
    await stream(bucket, worker, screen, signal);
    return { warm };
  } finally {
    screen.idle();
    await worker.end();
  }
}

/**
 * One read before all else, so that what is wrong with the bucket is said at once.
 *
 * @param {import("./bucket.mjs").Bucket} bucket
 */
async function greet(bucket) {
  const cache = openCache(bucket);
  try {
    await cache.get("hello");
  } finally {
    await cache.close();
  }
}

/**
 * @param {import("./bucket.mjs").Bucket} bucket
 * @param {ReturnType<typeof startWorker>} worker
 * @param {import("./screen.mjs").Screen} screen
 * @param {AbortSignal} signal
 */
async function askAll(bucket, worker, screen, signal) {
  let computed = 0;
  screen.print(table.renderHeader(screen.styles));
  for (const { name, args, title } of DEMO_QUESTIONS) {
    screen.busy(title);
    const first = await worker.run({ type: "call", name, args });
    const other = startWorker(bucket, signal);
    try {
      const second = await other.run({ type: "call", name, args });
      const third = await other.run({ type: "again", name, args });
      if (first.call.answeredBy === "function") computed++;
      const rows = [
        { label: "first call", call: first.call },
        { label: "another process", call: second.call },
        { label: "same process", call: third.call },
      ];
      screen.print(table.renderResult({ title, plainBytes: first.plainBytes, rows }, screen.styles));
    } finally {
      await other.end();
    }
  }
  return computed < DEMO_QUESTIONS.length;
}

/**
 * @param {import("./bucket.mjs").Bucket} bucket
 * @param {ReturnType<typeof startWorker>} worker
 * @param {import("./screen.mjs").Screen} screen
 * @param {AbortSignal} signal
 */
async function stream(bucket, worker, screen, signal) {
  const { bold, dim } = screen.styles;
  screen.print("", bold("A stream: the distance of every place to 100 towns, as CSV"));
  const up = await worker.run({ type: "upload" }, (progress) => screen.progress("set", progress));
  screen.progress("set", up);
  const reader = startWorker(bucket, signal);
  try {
    const down = await reader.run({ type: "download" }, (progress) => screen.progress("getStream", progress));
    screen.progress("getStream", down);
    const same = up.sha256 === down.sha256;
    if (!same) throw new Error("what came back is not what was sent");
    screen.print(
      dim(
        `  The same bytes came back (SHA-256 ${up.sha256.slice(0, 8)}…). The processes grew by ` +
          `${table.formatBytes(up.grownBytes)} and ${table.formatBytes(down.grownBytes)}.`,
      ),
    );
  } finally {
    await reader.end();
  }
}
