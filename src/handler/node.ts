/**
 * Fetch handlers on Node's own HTTP server, and on frameworks built upon it. Types are structural and nothing of Node is
 * imported, so that the same module loads everywhere.
 */
import { utf8 } from "../base/bytes.js";

interface NodeRequest {
  method?: string;
  url?: string;
  headers: Record<string, string | string[] | undefined>;
  complete?: boolean;
  readableEnded?: boolean;
  socket?: { encrypted?: boolean };
  /** Set by Express: the path before routers cut it. */
  originalUrl?: string;
  /** Set by Express, which follows its `trust proxy`. */
  protocol?: string;
  /** Set by a body parser. */
  body?: unknown;
  on(event: string, listener: (value?: any) => void): unknown;
  pause(): unknown;
  resume(): unknown;
}

interface NodeResponse {
  headersSent: boolean;
  writableFinished?: boolean;
  destroyed?: boolean;
  statusCode: number;
  setHeader(name: string, value: string | readonly string[]): unknown;
  write(chunk: Uint8Array): boolean;
  end(chunk?: string): unknown;
  on(event: string, listener: (value?: any) => void): unknown;
  destroy(error?: Error): unknown;
}

/**
 * Makes a listener for `node:http`, Express and similar frameworks. A body that a parser has read already
 * (`express.json()`) is taken from the parser. The origin of the handler is that of the `Host` header, with `https` on a
 * TLS socket, or where Express was told to trust its proxy; forwarding headers are not believed otherwise. The listener
 * never throws: a handler that rejects is answered with 500.
 *
 * @example
 * ```ts
 * import { createServer } from "node:http";
 * import { createPresignHandler, toNodeListener } from "bucketcache/handler";
 * import { s3Store } from "bucketcache/s3";
 *
 * const store = s3Store({ bucket: "my-bucket", region: "eu-west-1" });
 * const handler = createPresignHandler({ store, prefix: "cache/", authorize: ({ operation }) => operation === "read" });
 * const server = createServer(toNodeListener(handler)).listen(3000);
 * server.close();
 * ```
 */
export function toNodeListener(
  handler: (request: Request) => Promise<Response>,
): (request: any, response: any) => void {
  return (request: NodeRequest, response: NodeResponse) => {
    respond(handler, request, response).catch(() => {
      if (response.headersSent) return void response.destroy();
      response.statusCode = 500;
      response.setHeader("content-type", "application/json");
      response.end(JSON.stringify({ v: 1, error: { code: "ERR_UNAVAILABLE", message: "the handler failed" } }));
    });
  };
}

async function respond(
  handler: (request: Request) => Promise<Response>,
  from: NodeRequest,
  to: NodeResponse,
): Promise<void> {
  const gone = new AbortController();
  to.on("close", () => {
    if (to.writableFinished !== true) gone.abort();
  });
  // A client that hangs up must not crash the process.
  to.on("error", () => {});
  const request = toRequest(from, gone.signal);
  if (request === undefined) {
    to.statusCode = 400;
    return void to.end();
  }
  const response = await handler(request);
  to.statusCode = response.status;
  response.headers.forEach((value, name) => {
    if (name !== "set-cookie") to.setHeader(name, value);
  });
  const cookies = response.headers.getSetCookie();
  if (cookies.length > 0) to.setHeader("set-cookie", cookies);
  // A body that was not read to its end is not waited for.
  if (from.complete === false) to.setHeader("connection", "close");
  if (from.method === "HEAD") {
    // An answer to HEAD has no body; reading it would serve nobody.
    response.body?.cancel().catch(() => {});
    return void to.end();
  }
  await pipe(response.body, to, gone.signal);
}

/** Returns undefined where the request line or the Host header give no URL. */
function toRequest(from: NodeRequest, signal: AbortSignal): Request | undefined {
  const protocol = from.protocol === "https" || from.socket?.encrypted === true ? "https" : "http";
  const host = from.headers["host"] ?? from.headers[":authority"] ?? "localhost";
  const path = from.originalUrl ?? from.url ?? "/";
  const url = `${protocol}://${String(host)}${path.startsWith("/") ? path : "/"}`;
  if (!/^[\w.:[\]-]+$/.test(String(host)) || !URL.canParse(url)) return undefined;
  const method = from.method ?? "GET";
  const body = method === "GET" || method === "HEAD" ? undefined : bodyOf(from);
  const headers = new Headers();
  for (const [name, value] of Object.entries(from.headers)) {
    if (value === undefined || name.startsWith(":")) continue;
    // A parser has undone the encoding, and the text that is made of its result has another length.
    if (!(body instanceof ReadableStream) && (name === "content-encoding" || name === "content-length")) continue;
    for (const each of Array.isArray(value) ? value : [value]) headers.append(name, each);
  }
  const init: RequestInit & { duplex?: "half" } = { method, headers, signal };
  if (body !== undefined) Object.assign(init, { body, duplex: "half" });
  return new Request(url, init);
}

function bodyOf(from: NodeRequest): string | Uint8Array | ReadableStream<Uint8Array> {
  const { body } = from;
  if (from.readableEnded !== true) return streamOf(from);
  // A listener before this one has read the body and kept nothing: there is nothing to wait for.
  if (body === undefined) return "";
  if (typeof body === "string" || body instanceof Uint8Array) return body as string | Uint8Array<ArrayBuffer>;
  return JSON.stringify(body) ?? "";
}

// Written by hand: Node's own adapter destroys the request when it is cancelled, and with it the answer that says why.
function streamOf(from: NodeRequest): ReadableStream<Uint8Array> {
  let over = false;
  return new ReadableStream<Uint8Array>(
    {
      start(controller) {
        from.pause();
        from.on("data", (chunk: Uint8Array | string) => {
          if (over) return;
          controller.enqueue(typeof chunk === "string" ? utf8(chunk) : new Uint8Array(chunk));
          if ((controller.desiredSize ?? 0) <= 0) from.pause();
        });
        from.on("end", () => {
          if (!over) controller.close();
          over = true;
        });
        const fail = () => {
          if (!over) controller.error(new TypeError("the request ended early"));
          over = true;
        };
        from.on("error", fail);
        from.on("close", fail);
      },
      pull: () => void from.resume(),
      cancel() {
        over = true;
        from.pause();
      },
    },
    { highWaterMark: 65_536, size: (chunk) => chunk?.byteLength ?? 0 },
  );
}

async function pipe(body: ReadableStream<Uint8Array> | null, to: NodeResponse, gone: AbortSignal): Promise<void> {
  const reader = body?.getReader();
  let wake = () => {};
  to.on("drain", () => wake());
  to.on("close", () => wake());
  for (let chunk; (chunk = await reader?.read()) !== undefined && !chunk.done;) {
    if (gone.aborted) return void reader?.cancel().catch(() => {});
    const drained = new Promise<void>((resolve) => (wake = resolve));
    if (!to.write(chunk.value)) await drained;
  }
  to.end();
}
