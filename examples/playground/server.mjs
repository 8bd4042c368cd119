import { createServer } from "node:http";
import { createPresignHandler, toNodeListener } from "bucketcache/handler";
import { s3Store } from "bucketcache/s3";
import { PREFIX } from "../demo/bucket.mjs";
import { openApi } from "./api.mjs";
import { buildPlayground, DATA, PAGE } from "./build.mjs";
import { setCors } from "./rules.mjs";
import { serveFiles } from "./files.mjs";

/** One upload, in bytes. */
const MAX_BYTES = 512 * 2 ** 20;

/** Prefixes that pages may write: uploads, the note that tabs share, and results of the functions that they call. */
const WRITABLE = ["uploads/", "notes/", "neighbours/", "densest-regions/", "country-report/", "round-trip/"];

/**
 * Serves the playground: its page, the presign handler that the page works with, and the server's own calls.
 *
 * @param {object} options
 * @param {import("../demo/bucket.mjs").Bucket} options.bucket
 * @param {number} [options.port] default: a free one
 * @param {string} [options.host] the address to listen on; default: this machine only
 * @param {boolean} [options.cors] sets the bucket's CORS rule; only for a bucket that is ours. Default: false
 * @returns {Promise<{ url: string, origins: string[], close(): Promise<void> }>} `origins` are those of the pages
 */
export async function startPlayground({ bucket, port = 0, host = "127.0.0.1", cors = false }) {
  await buildPlayground();
  const store = s3Store(bucket);
  const { url: signed } = await store.presign(`${PREFIX}hello`, {});
  const presign = toNodeListener(
    createPresignHandler({
      store,
      prefix: PREFIX,
      authorize: ({ operation, key }) =>
        operation !== "write" || WRITABLE.some((folder) => key.startsWith(PREFIX + folder)),
      maxBytes: MAX_BYTES,
      maxTtl: "7d",
      expiresIn: "10m",
      allowList: true,
    }),
  );
  const api = openApi({
    bucket,
    store,
    info: { bucket: bucket.bucket, endpoint: bucket.endpoint ?? "AWS", prefix: PREFIX, maxBytes: MAX_BYTES },
  });
  const files = serveFiles({ "/": `${PAGE}/`, "/data/": `${DATA}/` });
  const policy = headersFor(new URL(signed).origin);

  /** @type {string[]} */
  let hosts = [];
  const server = createServer(async (request, response) => {
    for (const [name, value] of policy) response.setHeader(name, value);
    try {
      // A name that leads here is not yet ours (DNS rebinding).
      if (!hosts.includes(request.headers.host ?? "")) {
        response.writeHead(421, { "content-type": "text/plain" }).end("This is not the host that was asked for.\n");
        return;
      }
      const path = new URL(request.url ?? "/", "http://localhost").pathname;
      if (path === "/cache") return presign(request, response);
      const answer = await api.answer(path, request);
      if (answer === undefined) return await files(path, request, response);
      const body = JSON.stringify(answer.body);
      response.writeHead(answer.status, { "content-type": "application/json", "cache-control": "no-store" }).end(body);
    } catch {
      // Nobody is left to be told: the connection is gone, or the answer has begun.
      response.destroy();
    }
  });
  await new Promise((listening, failed) => {
    server.once("error", failed);
    server.listen(port, host, () => listening(undefined));
  });
  const { port: actual } = /** @type {import("node:net").AddressInfo} */ (server.address());
  const local = host === "127.0.0.1" ? ["127.0.0.1", "localhost"] : [host];
  hosts = local.map((name) => `${name}:${actual}`);
  const origins = hosts.map((name) => `http://${name}`);
  if (cors) await setCors(bucket, origins);

  return {
    url: `${origins[0]}/`,
    origins,
    async close() {
      await new Promise((closed) => {
        server.close(closed);
        server.closeAllConnections();
      });
      await api.close();
    },
  };
}

/**
 * The page runs its own scripts and reaches its own server and the bucket, nothing else.
 *
 * @param {string} bucketOrigin
 * @returns {[string, string][]}
 */
function headersFor(bucketOrigin) {
  return [
    [
      "content-security-policy",
      "default-src 'none'; script-src 'self'; worker-src 'self'; style-src 'self'; img-src 'self' blob:; " +
        `media-src 'self' blob:; connect-src 'self' ${bucketOrigin}; ` +
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ],
    ["permissions-policy", "camera=(), geolocation=(), microphone=(self), display-capture=(self)"],
    // The grant of a shared link is in the fragment, which no referrer holds; neither shall the rest.
    ["referrer-policy", "no-referrer"],
    ["x-content-type-options", "nosniff"],
    // Alone in its process the page gets a clock of 5 µs: fine enough to time a hit in memory.
    ["cross-origin-opener-policy", "same-origin"],
    ["cross-origin-embedder-policy", "require-corp"],
    ["cross-origin-resource-policy", "same-origin"],
  ];
}
