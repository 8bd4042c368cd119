import { createReadStream, existsSync, readdirSync, statSync } from "node:fs";
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

/**
 * Serves the files of some folders and nothing else: a path names one of those that were there at the start, or none.
 *
 * @param {Record<string, string>} folders by the path that they are served under
 */
export function serveFiles(folders) {
  /** @type {Map<string, string>} */
  const files = new Map();
  for (const [path, folder] of Object.entries(folders)) {
    for (const name of readdirSync(folder, { recursive: true, encoding: "utf8" })) {
      const file = join(folder, name);
      if (statSync(file).isFile()) files.set(path + name.split(sep).join("/"), file);
    }
  }

  /**
   * @param {string} path
   * @param {import("node:http").IncomingMessage} request
   * @param {import("node:http").ServerResponse} response
   */
  return async (path, request, response) => {
    const file = files.get(path.endsWith("/") ? `${path}index.html` : path);
    const type = TYPES[extname(file ?? "")];
    if (file === undefined || type === undefined || !existsSync(file)) {
      response.writeHead(404, { "content-type": "text/plain" }).end("There is no such page.\n");
      return;
    }
    if (request.method !== "GET" && request.method !== "HEAD") {
      response.writeHead(405, { allow: "GET, HEAD" }).end();
      return;
    }
    const gzip = files.has(`${path}.gz`) && /\bgzip\b/.test(String(request.headers["accept-encoding"]));
    const source = gzip ? `${file}.gz` : file;
    response.writeHead(200, {
      "content-type": type,
      "content-length": statSync(source).size,
      // Vite puts a hash of the content into the names of assets.
      "cache-control": path.startsWith("/assets/") ? "public, max-age=31536000, immutable" : "no-cache",
      ...(gzip && { "content-encoding": "gzip", vary: "accept-encoding" }),
    });
    if (request.method === "HEAD") response.end();
    else await pipeline(createReadStream(source), response);
  };
}
