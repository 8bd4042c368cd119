/** The transport of Node: `node:http` with an agent that keeps connections, at half the cost of `fetch`. */
import { onAbort } from "../base/abort.js";
import { Silence } from "./refusal.js";
import { Watchdog } from "./retry.js";
import { nodeBuiltin } from "../base/runtime.js";
import { CHEAP_REST } from "./fetch-transport.js";
import { metadataName } from "./header-names.js";
import type { Incoming, Outgoing, Send } from "./transport.js";
import type { Bytes } from "../types.js";

type Listener = (...args: any[]) => void;

interface Emitter {
  on(event: string, listener: Listener): this;
  once(event: string, listener: Listener): this;
  removeListener(event: string, listener: Listener): this;
}

/** As much of `http.IncomingMessage` as is used here. */
export interface NodeMessage extends Emitter {
  statusCode?: number | undefined;
  headers: Record<string, string | string[] | undefined>;
  complete: boolean;
  pause(): void;
  resume(): void;
  destroy(error?: Error): void;
}

interface NodeRequest extends Emitter {
  writableFinished: boolean;
  write(chunk: Uint8Array, done: () => void): boolean;
  end(chunk?: Uint8Array): void;
  destroy(error?: Error): void;
}

interface NodeAgent {
  destroy(): void;
}

interface NodeHttp {
  Agent: new (options: object) => NodeAgent;
  request(options: object): NodeRequest;
}

/** Sockets to one host. More requests than these wait their turn, and no time-out counts until then. */
const MAX_SOCKETS = 128;

/** An idle socket is closed by us before most servers do, so that requests seldom meet a closed one. Milliseconds. */
const IDLE = 15_000;

/** Large bodies are written in pieces of this size, so that progress shows. */
const PIECE = 1 << 18;

/** What waits for a slow reader before the socket is paused. */
const HIGH_WATER = 1 << 19;

export class NodeIncoming implements Incoming {
  readonly status: number;
  readonly #message: NodeMessage;
  readonly #bodyless: boolean;
  readonly #silence: number;
  readonly #watchdog: Watchdog;
  readonly #settle: (error?: unknown) => unknown;
  #sink: ((chunk: Uint8Array) => void) | undefined;
  #wake: (() => void) | undefined;
  #queue: Uint8Array[] = [];
  #queued = 0;
  #flowing = false;
  #over = false;
  #error: unknown;

  constructor(
    message: NodeMessage,
    bodyless: boolean,
    silence: number,
    watchdog: Watchdog,
    settle: (error?: unknown) => unknown,
    headers = message.headers,
  ) {
    this.status = message.statusCode ?? 0;
    this.#message = message;
    this.#bodyless = bodyless;
    this.#silence = silence;
    this.#watchdog = watchdog;
    this.#settle = settle;
    this.#headers = headers;
    message.on("error", (error: Error) => this.#end(error));
    message.on("end", () => this.#end());
    message.on("close", () => this.#end(new Error("the connection was closed")));
  }

  readonly #headers: NodeMessage["headers"];

  header(name: string): string | undefined {
    const value = this.#headers[name];
    return typeof value === "object" ? value.join(", ") : value;
  }

  metadata(): Record<string, string> {
    const metadata: Record<string, string> = {};
    for (const header in this.#headers) {
      const name = metadataName(header);
      if (name !== undefined) metadata[name] = this.header(header)!;
    }
    return metadata;
  }

  async read(): Promise<Bytes | undefined> {
    this.#flow((chunk) => {
      this.#queue.push(chunk);
      this.#queued += chunk.byteLength;
      if (this.#queued >= HIGH_WATER) this.#message.pause();
    });
    if (this.#queue.length === 0 && !this.#over) await this.#wait();
    const chunk = this.#queue.shift();
    if (chunk !== undefined) {
      const full = this.#queued >= HIGH_WATER;
      this.#queued -= chunk.byteLength;
      if (full && this.#queued < HIGH_WATER) this.#message.resume();
      return new Uint8Array(chunk.buffer as ArrayBuffer, chunk.byteOffset, chunk.byteLength);
    }
    if (this.#error !== undefined) throw this.#error;
    return undefined;
  }

  async drain(sink: (chunk: Uint8Array) => void): Promise<void> {
    for (const chunk of this.#queue.splice(0)) sink(chunk);
    let failed: unknown;
    const careful = (chunk: Uint8Array) => {
      try {
        sink(chunk);
      } catch (error) {
        failed = error;
        this.#sink = () => {};
        this.#message.destroy();
      }
    };
    this.#sink = undefined;
    this.#flow(careful);
    if (this.#flowing) this.#message.resume();
    while (!this.#over) await this.#wait();
    if (failed !== undefined) throw failed;
    if (this.#error !== undefined) throw this.#error;
  }

  cancel(): void {
    if (this.#over) return;
    this.#queue = [];
    this.#sink = () => {};
    const rest = this.#bodyless ? 0 : Number(this.header("content-length") ?? Infinity);
    if (this.#flowing || rest > CHEAP_REST) {
      this.#message.destroy();
    } else {
      // Reading the rest keeps the connection; a server that never sends it loses it after the silence.
      this.#flow(this.#sink);
      this.#watchdog.arm(this.#silence);
    }
  }

  #flow(sink: (chunk: Uint8Array) => void): void {
    this.#sink ??= sink;
    if (this.#flowing || this.#over) return;
    this.#flowing = true;
    this.#watchdog.stop();
    this.#message.on("data", (chunk: Uint8Array) => {
      this.#watchdog.touch();
      this.#sink!(chunk);
      if (this.#queue.length > 0) this.#wake?.();
    });
  }

  async #wait(): Promise<void> {
    this.#watchdog.arm(this.#silence);
    await new Promise<void>((resolve) => (this.#wake = resolve));
    this.#wake = undefined;
    this.#watchdog.stop();
  }

  #end(error?: unknown): void {
    if (this.#over) return;
    this.#over = true;
    this.#watchdog.stop();
    this.#error = this.#settle(error);
    this.#wake?.();
  }
}

export interface NodeSend {
  send: Send;
  /** Closes idle connections. */
  close(): void;
}

/** Undefined where there is no `node:http`. */
export function nodeSend(): NodeSend | undefined {
  const http = nodeBuiltin<NodeHttp>("node:http");
  if (http === undefined) return undefined;
  let secure: NodeHttp | undefined;
  const agents = new Map<NodeHttp, NodeAgent>();
  let origin = "";
  let target: object = {};

  function targetOf(url: string, slash: number): object {
    const next = url.slice(0, slash);
    if (next !== origin) {
      const { protocol, hostname, port } = new URL(next);
      const lib = protocol === "https:" ? (secure ??= nodeBuiltin<NodeHttp>("node:https")!) : http!;
      let agent = agents.get(lib);
      if (agent === undefined) {
        agent = new lib.Agent({ keepAlive: true, maxSockets: MAX_SOCKETS, maxFreeSockets: MAX_SOCKETS, timeout: IDLE });
        agents.set(lib, agent);
      }
      origin = next;
      target = {
        protocol,
        hostname: hostname.replace(/^\[|\]$/g, ""),
        agent,
        ...(port !== "" && { port: Number(port) }),
      };
    }
    return target;
  }

  async function send(request: Outgoing): Promise<Incoming> {
    const { method, url, headers, signal, body } = request;
    signal?.throwIfAborted();
    const bytes = body === undefined || body instanceof Uint8Array ? body : new Uint8Array(await body.arrayBuffer());
    const slash = url.indexOf("/", 8);
    const options = { ...targetOf(url, slash), method, path: url.slice(slash), headers };
    const lib = url.startsWith("https:") ? secure! : http!;
    return new Promise((resolve, reject) => {
      const outgoing = lib.request(options);
      let broken: unknown;
      let incoming: NodeMessage | undefined;
      const stop = (reason: unknown) => {
        broken ??= reason;
        (incoming ?? outgoing).destroy(reason instanceof Error ? reason : new Error("aborted"));
      };
      const watchdog = new Watchdog(() => stop(new Silence(incoming === undefined ? "no headers" : "no bytes")));
      const leave = onAbort(signal, () => stop(signal!.reason));
      const settle = (error?: unknown) => {
        watchdog.stop();
        leave();
        return error === undefined ? undefined : (broken ?? error);
      };
      outgoing.on("error", (error: Error) => reject(settle(error)));
      outgoing.on("response", (message: NodeMessage) => {
        incoming = message;
        // A body that nobody reads gives its connection back in the end.
        watchdog.arm(request.silence);
        const { statusCode } = message;
        // Who is refused before all is sent need not send the rest.
        message.once("end", () => outgoing.writableFinished || outgoing.destroy());
        const bodyless = method === "HEAD" || statusCode === 204 || statusCode === 304;
        resolve(new NodeIncoming(message, bodyless, request.silence, watchdog, settle));
      });
      const large = bytes !== undefined && bytes.byteLength > PIECE;
      // Waiting for a free socket is not the store's silence. The last bytes of a large body may sit in the kernel.
      outgoing.once("socket", () => watchdog.arm(large ? request.silence : request.headersTimeout));
      if (large) writePieces(outgoing, bytes, watchdog);
      else outgoing.end(bytes);
    });
  }

  return {
    send,
    close() {
      for (const agent of agents.values()) agent.destroy();
    },
  };
}

function writePieces(outgoing: NodeRequest, bytes: Uint8Array, watchdog: Watchdog): void {
  let offset = 0;
  const next = () => {
    watchdog.touch();
    const piece = bytes.subarray(offset, (offset += PIECE));
    if (offset >= bytes.byteLength) outgoing.end(piece);
    else outgoing.write(piece, next);
  };
  next();
}
