import { readFileSync } from "node:fs";
import { join } from "node:path";
import { createCache } from "bucketcache";
import { PREFIX } from "../demo/bucket.mjs";
import { startWorker, WorkerError } from "../demo/process.mjs";
import { DATA } from "./build.mjs";
import { objectionTo } from "./questions.mjs";

const MOST_BYTES = 4_096;

/**
 * The server's own side of the playground: the same cached functions as in the page, called in a process of their own,
 * with that process' memory and the server's credentials. The two share the bucket and nothing else.
 *
 * @param {object} options
 * @param {import("../demo/bucket.mjs").Bucket} options.bucket
 * @param {import("bucketcache").ObjectStore} options.store the same bucket, opened
 * @param {Record<string, unknown>} options.info what the page is told at its start
 */
export function openApi({ bucket, store, info }) {
  const cache = createCache({ store, prefix: PREFIX, memory: false });
  /** @type {Record<string, number>} */
  const countries = JSON.parse(readFileSync(join(DATA, "countries.json"), "utf8"));
  const stop = new AbortController();
  /** @type {ReturnType<typeof startWorker> | undefined} */
  let worker;
  // A process computes one thing at a time.
  /** @type {Promise<unknown>} */
  let last = Promise.resolve();
  const inTurn = (/** @type {() => Promise<any>} */ job) => {
    const result = last.then(job);
    last = result.catch(() => {});
    return result;
  };

  /** @param {{ name: string, args: unknown[] }} question */
  async function call({ name, args }) {
    const objection = objectionTo(name, args, countries);
    if (objection !== undefined) return { status: 400, body: { error: objection } };
    try {
      const result = await inTurn(() => {
        worker ??= startWorker(bucket, stop.signal);
        return worker.run({ type: "call", name: /** @type {any} */ (name), args });
      });
      return { status: 200, body: result };
    } catch (error) {
      // A process that reports an error has survived it. One that has died is replaced at the next call.
      if (!(error instanceof WorkerError)) worker = undefined;
      const { message, code } = /** @type {{ message: string, code?: string }} */ (error);
      return { status: 502, body: { error: message, code } };
    }
  }

  /** @param {{ key: unknown }} entry */
  async function link({ key }) {
    if (typeof key !== "string" || key.includes(".bucketcache"))
      return { status: 400, body: { error: "No such key." } };
    try {
      const filename = key.slice(key.lastIndexOf("/") + 1);
      const { url, expiresAt } = await cache.presign(key, { filename, expiresIn: "10m" });
      return { status: 200, body: { url, expiresAt } };
    } catch (error) {
      const { name, message } = /** @type {Error} */ (error);
      return { status: name === "TypeError" ? 400 : 502, body: { error: message } };
    }
  }

  return {
    /**
     * @param {string} path
     * @param {import("node:http").IncomingMessage} request
     * @returns {Promise<{ status: number, body: object } | undefined>} undefined when nothing is there
     */
    async answer(path, request) {
      if (path === "/api/info" && request.method === "GET") {
        return { status: 200, body: { ...info, countries, now: Date.now() / 1_000 } };
      }
      if (request.method !== "POST") return undefined;
      if (path !== "/api/call" && path !== "/api/link" && path !== "/api/restart") return undefined;
      if (!isOwnPage(request)) return { status: 403, body: { error: "Only the playground's own page may ask." } };
      if (path === "/api/restart") {
        await inTurn(async () => {
          await worker?.end();
          worker = undefined;
        });
        return { status: 200, body: {} };
      }
      const asked = await readJson(request);
      if (asked === undefined) return { status: 400, body: { error: "The body must be a small JSON object." } };
      return path === "/api/call" ? call(asked) : link(asked);
    },
    async close() {
      const running = worker;
      worker = undefined;
      stop.abort();
      await running?.end();
      await cache.close();
    },
  };
}

/**
 * Browsers name the page that sends a POST; what is no browser has no user to be betrayed.
 *
 * @param {import("node:http").IncomingMessage} request
 */
function isOwnPage({ headers }) {
  const site = headers["sec-fetch-site"];
  if (site !== undefined && site !== "same-origin") return false;
  return headers.origin === undefined || headers.origin === `http://${headers.host}`;
}

/**
 * @param {import("node:http").IncomingMessage} request
 * @returns {Promise<any>} undefined for what is no object
 */
async function readJson(request) {
  if (!/^application\/json\b/.test(request.headers["content-type"] ?? "")) return undefined;
  let text = "";
  for await (const chunk of request.setEncoding("utf8")) {
    text += chunk;
    if (text.length > MOST_BYTES) return undefined;
  }
  try {
    const value = JSON.parse(text);
    return typeof value === "object" && value !== null ? value : undefined;
  } catch {
    return undefined;
  }
}
