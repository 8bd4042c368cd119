import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo, Socket } from "node:net";

export interface Seen {
  method: string;
  url: string;
  headers: IncomingMessage["headers"];
  body: Buffer;
}

export type Step = (request: Seen, response: ServerResponse) => unknown;

/** A server that answers each request by the next step; the last one answers all that follow. */
export interface Scripted {
  url: string;
  /** Requests that came in, in order. */
  seen: Seen[];
  /** Connections that are open now. */
  sockets: Set<Socket>;
  /** Connections that were ever made. */
  connections(): number;
  play(...steps: Step[]): void;
  close(): Promise<void>;
}

export async function scriptedServer(): Promise<Scripted> {
  let steps: Step[] = [];
  let connections = 0;
  const sockets = new Set<Socket>();
  const seen: Seen[] = [];
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    try {
      for await (const chunk of request) chunks.push(chunk as Buffer);
    } catch {
      return;
    }
    const { method = "", url = "", headers } = request;
    const one = { method, url, headers, body: Buffer.concat(chunks) };
    seen.push(one);
    const step = steps.length > 1 ? steps.shift() : steps[0];
    await step?.(one, response);
  });
  server.on("connection", (socket) => {
    connections++;
    sockets.add(socket);
    socket.on("error", () => {});
    socket.on("close", () => sockets.delete(socket));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    seen,
    sockets,
    connections: () => connections,
    play(...next) {
      steps = next;
      seen.length = 0;
    },
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

export const ENTRY = "v=1, created=1, codec=bytes, nonce=:AAAAAAAAAAAAAAAAAAAAAA==:";

/** Serves an object, in the range that was asked for. */
export function object(content: string | Buffer, headers: Record<string, string> = {}): Step {
  const all = Buffer.from(content);
  return (request, response) => {
    const range = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? "");
    const start = Number(range?.[1] ?? 0);
    const end = range?.[2] ? Number(range[2]) + 1 : all.length;
    response.writeHead(range ? 206 : 200, {
      etag: '"e1"',
      "last-modified": "Sun, 22 Nov 2026 03:00:00 GMT",
      "content-type": "text/plain",
      "content-length": String(end - start),
      "x-amz-meta-entry": ENTRY,
      ...(range && { "content-range": `bytes ${start}-${end - 1}/${all.length}` }),
      ...headers,
    });
    response.end(request.method === "HEAD" ? undefined : all.subarray(start, end));
  };
}

/** Announces all of an object, sends a part of it, and breaks off. */
export function cutOff(content: string, sent: number, headers: Record<string, string> = {}): Step {
  return (_, response) => {
    response.writeHead(200, {
      etag: '"e1"',
      "last-modified": "Sun, 22 Nov 2026 03:00:00 GMT",
      "content-length": String(content.length),
      "x-amz-meta-entry": ENTRY,
      ...headers,
    });
    response.write(content.slice(0, sent), () => response.destroy());
  };
}

export const refuse =
  (status: number, code = "", headers: Record<string, string> = {}, message = "no"): Step =>
  (request, response) => {
    response.writeHead(status, headers);
    response.end(
      code === "" || request.method === "HEAD"
        ? undefined
        : `<?xml version="1.0"?><Error><Code>${code}</Code><Message>${message}</Message></Error>`,
    );
  };

export const ok =
  (headers: Record<string, string> = {}): Step =>
  (_, response) => {
    response.writeHead(200, { etag: '"new"', ...headers });
    response.end();
  };

/** Breaks the connection off without an answer. */
export const reset: Step = (_, response) => response.destroy();

/** Never answers. */
export const silent: Step = () => {};
