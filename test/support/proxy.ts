import { createServer, request as httpRequest, type IncomingHttpHeaders, type OutgoingHttpHeaders } from "node:http";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { AddressInfo, Socket } from "node:net";

/** A request as it passed through the proxy. */
export interface Passed {
  method: string;
  /** Percent-decoded path, without the query: `/bucket/key`. */
  path: string;
  query: URLSearchParams;
  headers: IncomingHttpHeaders;
  /** Position among all requests of this proxy, from 0. */
  index: number;
  /** Undefined until answered, and when the connection was dropped instead. */
  status: number | undefined;
  /** Bytes of the bodies that passed. */
  sent: number;
  received: number;
}

/** Interference of the proxy with a request. Without any member, the request passes unchanged. */
export interface Interference {
  /** Runs before the request is passed on: delay it, or write something else to the store in between. */
  before?: () => unknown;
  /** Answers instead of the server. */
  answer?: { status: number; headers?: OutgoingHttpHeaders; body?: string | Uint8Array };
  /** Cuts the client's connection: before the server sees the request, or after it has done it and before the answer is told. */
  drop?: "before" | "after";
  /** Runs when the server has answered, before the client hears of it. */
  after?: (status: number) => unknown;
  /** Changes the headers of the answer. */
  headers?: (headers: IncomingHttpHeaders) => OutgoingHttpHeaders;
  /** Cuts the connection after so many bytes of the answer's body. */
  truncate?: number;
  /** Stops passing bytes on after so many of the answer's body, and keeps the connection open. */
  stall?: number;
}

export type Hook = (request: Passed) => Interference | undefined | void | Promise<Interference | undefined | void>;

export interface FaultProxy {
  /** Takes the place of the server's endpoint. */
  endpoint: string;
  /** Decides about each request; replace it at any time. */
  hook: Hook | undefined;
  /** All requests since the start or the last `reset`, in the order of their arrival. */
  readonly requests: Passed[];
  /** How many requests had this method, and a path that contains the text or matches the pattern. */
  count(method?: string, path?: string | RegExp): number;
  /** Forgets the requests, and the hook. */
  reset(): void;
  /** Connections that clients hold open now, in use or idle. */
  readonly connections: number;
  close(): Promise<void>;
}

/**
 * Starts an HTTP proxy in front of an S3 endpoint that can do what networks and servers do on bad days. It signs
 * nothing and leaves the `Host` header as it came, so that signatures made for the proxy's own address hold: the server
 * believes that it is reached by that name.
 */
export async function startProxy(target: string, hook?: Hook): Promise<FaultProxy> {
  const { hostname, port } = new URL(target);
  const requests: Passed[] = [];
  const sockets = new Set<Socket>();

  const server = createServer((incoming, outgoing) => {
    // A client that leaves is no trouble of the proxy's.
    outgoing.on("error", () => {});
    handle(incoming, outgoing).catch((error: unknown) => outgoing.destroy(error as Error));
  });
  // The proxy never closes an idle connection by itself: what the client does with its sockets is what tests look at.
  server.keepAliveTimeout = 0;
  server.requestTimeout = 0;
  server.on("connection", (socket) => {
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
  });

  async function handle(incoming: IncomingMessage, outgoing: ServerResponse): Promise<void> {
    const url = new URL(incoming.url ?? "/", "http://proxy");
    const passed: Passed = {
      method: incoming.method ?? "",
      path: decodePath(incoming.url ?? "/"),
      query: url.searchParams,
      headers: incoming.headers,
      index: requests.length,
      status: undefined,
      sent: 0,
      received: 0,
    };
    requests.push(passed);
    const interference = (await proxy.hook?.(passed)) ?? {};
    await interference.before?.();
    if (interference.drop === "before") return void outgoing.destroy();
    if (interference.answer !== undefined) {
      const { status, headers, body } = interference.answer;
      // Read what is sent all the same: a client that still writes would see a reset instead of the answer.
      incoming.resume();
      passed.status = status;
      outgoing.writeHead(status, headers);
      return void outgoing.end(incoming.method === "HEAD" ? undefined : body);
    }
    await forward(incoming, outgoing, passed, interference);
  }

  function forward(
    incoming: IncomingMessage,
    outgoing: ServerResponse,
    passed: Passed,
    interference: Interference,
  ): Promise<void> {
    return new Promise((resolve, reject) => {
      // No agent: the proxy's own connections never outlive their request, so nothing of one test reaches another.
      const upstream = httpRequest({
        hostname,
        port,
        agent: false,
        method: incoming.method,
        path: incoming.url,
        headers: rawHeaders(incoming),
        setHost: false,
      });
      upstream.on("error", reject);
      upstream.on("response", (response) => {
        respond(response, outgoing, passed, interference).then(resolve, reject);
      });
      // When one side closes its connection, the other side is closed too.
      outgoing.on("close", () => {
        if (!outgoing.writableFinished) upstream.destroy();
        resolve();
      });
      incoming.on("data", (chunk: Buffer) => (passed.sent += chunk.length));
      incoming.pipe(upstream);
    });
  }

  const proxy: FaultProxy = {
    endpoint: "",
    hook,
    requests,
    count(method, path) {
      return requests.filter(
        (request) =>
          (method === undefined || request.method === method) &&
          (path === undefined || (typeof path === "string" ? request.path.includes(path) : path.test(request.path))),
      ).length;
    },
    reset() {
      requests.length = 0;
      proxy.hook = undefined;
    },
    get connections() {
      return sockets.size;
    },
    close() {
      return new Promise((resolve) => {
        server.close(() => resolve());
        for (const socket of sockets) socket.destroy();
      });
    },
  };
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  proxy.endpoint = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return proxy;
}

async function respond(
  response: IncomingMessage,
  outgoing: ServerResponse,
  passed: Passed,
  { after, drop, headers, truncate, stall }: Interference,
): Promise<void> {
  const status = response.statusCode ?? 0;
  await after?.(status);
  if (drop === "after") {
    response.destroy();
    outgoing.destroy();
    return;
  }
  passed.status = status;
  outgoing.writeHead(status, headers === undefined ? rawHeaders(response) : headers(response.headers));
  outgoing.flushHeaders();
  const limit = truncate ?? stall ?? Infinity;
  response.on("error", () => outgoing.destroy());
  for await (const chunk of response as AsyncIterable<Buffer>) {
    const part = chunk.subarray(0, Math.min(chunk.length, limit - passed.received));
    passed.received += part.length;
    // Waits for the client to take it, so that the proxy never holds more of a body than a chunk.
    if (!outgoing.write(part)) await drained(outgoing);
    if (outgoing.destroyed) return;
    if (passed.received < limit) continue;
    if (stall !== undefined) await closed(outgoing);
    // Only what the client has been given counts as sent: let it leave before the connection is cut.
    else await new Promise((resolve) => outgoing.write("", resolve));
    outgoing.destroy();
    return;
  }
  outgoing.end();
}

function drained(stream: ServerResponse): Promise<void> {
  return new Promise((resolve) => {
    if (stream.destroyed) return resolve();
    const done = () => {
      stream.off("drain", done).off("close", done);
      resolve();
    };
    stream.on("drain", done).on("close", done);
  });
}

function closed(stream: ServerResponse): Promise<void> {
  return new Promise((resolve) => {
    if (stream.destroyed) return resolve();
    stream.on("close", () => resolve());
  });
}

/** The headers as they came, in order and case, without those that speak of one connection only. */
function rawHeaders(message: IncomingMessage): string[] {
  const result: string[] = [];
  for (let i = 0; i < message.rawHeaders.length; i += 2) {
    const name = message.rawHeaders[i] as string;
    if (!/^(connection|keep-alive)$/i.test(name)) result.push(name, message.rawHeaders[i + 1] as string);
  }
  return result;
}

function decodePath(target: string): string {
  const path = target.split("?", 1)[0] as string;
  try {
    return decodeURIComponent(path);
  } catch {
    return path;
  }
}
