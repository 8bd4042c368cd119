import { createReadStream, readdirSync, readFileSync, statSync } from "node:fs";
import { extname, join, sep } from "node:path";
import { pipeline } from "node:stream/promises";

/** @type {Record<string, string>} */
const TYPES = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".css": "text/css; charset=utf-8",
  ".svg": "image/svg+xml",
  ".json": "application/json",
};

/** Bytes up to which a file is held in memory, so that a page stays whole when it is built anew meanwhile. */
const SMALL = 1_000_000;

/**
 * Serves the files of some folders and nothing else: a path names one of those that were there at the start, or none.
 *
 * @param {Record<string, string>} folders by the path that they are served under
 */
export function serveFiles(folders) {
  /** @type {Map<string, { file: string, size: number, content: Buffer | undefined }>} */
  const files = new Map();
  for (const [path, folder] of Object.entries(folders)) {
    for (const name of readdirSync(folder, { recursive: true, encoding: "utf8" })) {
      const file = join(folder, name);
      const stat = statSync(file);
      if (!stat.isFile()) continue;
      const content = stat.size <= SMALL ? readFileSync(file) : undefined;
      files.set(path + name.split(sep).join("/"), { file, size: stat.size, content });
    }
  }

  /**
   * @param {string} path
   * @param {import("node:http").IncomingMessage} request
   * @param {import("node:http").ServerResponse} response
   */
  return async (path, request, response) => {
    const found = files.get(path.endsWith("/") ? `${path}index.html` : path);
    const type = TYPES[extname(found?.file ?? "")];
    if (found === undefined || type === undefined) {
      response.writeHead(404, { "content-type": "text/plain" }).end("There is no such page.\n");
      return;
    }
    if (request.method !== "GET" && request.method !== "HEAD") {
      response.writeHead(405, { allow: "GET, HEAD" }).end();
      return;
    }
    const gzip = /\bgzip\b/.test(String(request.headers["accept-encoding"])) ? files.get(`${path}.gz`) : undefined;
    const { file, size, content } = gzip ?? found;
    response.writeHead(200, {
      "content-type": type,
      "content-length": size,
      // Vite puts a hash of the content into the names of assets.
      "cache-control": path.startsWith("/assets/") ? "public, max-age=31536000, immutable" : "no-cache",
      ...(gzip && { "content-encoding": "gzip", vary: "accept-encoding" }),
    });
    if (request.method === "HEAD") response.end();
    else if (content !== undefined) response.end(content);
    else await pipeline(createReadStream(file), response);
  };
}
