import { subscribe } from "node:diagnostics_channel";

/**
 * Counts what really leaves and enters this process, by Node's own diagnostics channels and not by what the library
 * says of itself: HTTP requests of `node:http` and of `fetch`, and the bytes of their sockets, headers included.
 *
 * @typedef {{ requests: string[], bytes: number }} Traffic
 */
export function startMeter() {
  /** @type {string[]} */
  let requests = [];
  let closedBytes = 0;
  /** @type {Set<import("node:net").Socket>} */
  const sockets = new Set();
  const bytes = () => [...sockets].reduce((sum, socket) => sum + bytesOf(socket), closedBytes);

  const watch = (/** @type {import("node:net").Socket} */ socket) => {
    if (sockets.has(socket)) return;
    sockets.add(socket);
    socket.once("close", () => {
      closedBytes += bytesOf(socket);
      sockets.delete(socket);
    });
  };
  subscribe("http.client.request.start", (message) => {
    const { request } = /** @type {{ request: import("node:http").ClientRequest }} */ (message);
    requests.push(request.method);
    if (request.socket) watch(request.socket);
    else request.once("socket", watch);
  });
  subscribe("undici:request:create", (message) => {
    requests.push(/** @type {{ request: { method: string } }} */ (message).request.method);
  });
  subscribe("undici:client:connected", (message) => {
    watch(/** @type {{ socket: import("node:net").Socket }} */ (message).socket);
  });

  return {
    /** Begins to count; the result tells what there was since. */
    start() {
      const before = bytes();
      requests = [];
      return () => ({ requests, bytes: bytes() - before });
    },
  };
}

/** @param {import("node:net").Socket} socket */
function bytesOf(socket) {
  return socket.bytesRead + socket.bytesWritten;
}
