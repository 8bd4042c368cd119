/** The transport of Node: `node:http` with an agent that keeps connections, at half the cost of `fetch`. */
import { onAbort } from "../base/abort.js";
import { nodeBuiltin } from "../base/runtime.js";
import type { Bytes } from "../types.js";
import { CHEAP_REST_BYTES } from "./fetch-transport.js";
import { metadataName } from "./header-names.js";
import type { Incoming, Outgoing, Send } from "./transport.js";
import { Silence, Watchdog, type Interruption } from "./watchdog.js";

type Listener = (...args: any[]) => void;

interface Emitter {
  on(event: string, listener: Listener): this;
  once(event: string, listener: Listener): this;
  removeListener(event: string, listener: Listener): this;
}

/** The part of `http.IncomingMessage` that is used. */
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

/** Sockets to one host. Further requests wait their turn, and their time-outs begin then. */
const MAX_SOCKETS = 128;

/** An idle socket is closed before most servers close theirs, so that requests seldom meet a closed one. */
const IDLE_TIMEOUT_MS = 15_000;

/** Large bodies are written in pieces of this size, so that the watchdog sees them move. */
const PIECE_BYTES = 1 << 18;

/** A slow reader may have this much waiting before the socket is paused. */
const MAX_QUEUED_BYTES = 1 << 19;

/** Tells whether the answer to a request has no body, whatever its headers say (RFC 9110, section 6.4.1). */
export function isBodyless(method: string, status: number | undefined): boolean {
  return method === "HEAD" || status === 204 || status === 304;
}

/** Settings of the reader of an answer. */
export interface NodeReading {
  interruption: Interruption;
  silenceMs: number;
  bodyless: boolean;
}

export class NodeIncoming implements Incoming {
  readonly status: number;
  readonly #message: NodeMessage;
  readonly #headers: NodeMessage["headers"];
  readonly #reading: NodeReading;
  #sink: ((chunk: Uint8Array) => void) | undefined;
  #wake: (() => void) | undefined;
  #queue: Uint8Array[] = [];
  #queuedBytes = 0;
  #flowing = false;
  #ended = false;
  #error: unknown;

  /** @param headers Names in lower case, where they are not the message's own. */
  constructor(message: NodeMessage, reading: NodeReading, headers = message.headers) {
    this.status = message.statusCode ?? 0;
    this.#message = message;
    this.#reading = reading;
    this.#headers = headers;
    message.on("error", (error: Error) => this.#end(error));
    message.on("end", () => this.#end());
    message.on("close", () => this.#end(new Error("the connection was closed")));
  }

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
      this.#queuedBytes += chunk.byteLength;
      if (this.#queuedBytes >= MAX_QUEUED_BYTES) this.#message.pause();
    });
    if (this.#queue.length === 0 && !this.#ended) await this.#wait();
    const chunk = this.#queue.shift();
    if (chunk !== undefined) {
      const wasFull = this.#queuedBytes >= MAX_QUEUED_BYTES;
      this.#queuedBytes -= chunk.byteLength;
      if (wasFull && this.#queuedBytes < MAX_QUEUED_BYTES) this.#message.resume();
      return new Uint8Array(chunk.buffer as ArrayBuffer, chunk.byteOffset, chunk.byteLength);
    }
    if (this.#error !== undefined) throw this.#error;
    return undefined;
  }

  async drain(sink: (chunk: Uint8Array) => void): Promise<void> {
    for (const chunk of this.#queue.splice(0)) sink(chunk);
    let sinkError: unknown;
    const guardedSink = (chunk: Uint8Array) => {
      try {
        sink(chunk);
      } catch (error) {
        sinkError = error;
        this.#sink = () => {};
        this.#message.destroy();
      }
    };
    this.#sink = undefined;
    this.#flow(guardedSink);
    if (this.#flowing) this.#message.resume();
    while (!this.#ended) await this.#wait();
    if (sinkError !== undefined) throw sinkError;
    if (this.#error !== undefined) throw this.#error;
  }

  cancel(): void {
    if (this.#ended) return;
    this.#queue = [];
    this.#sink = () => {};
    const { bodyless, interruption, silenceMs } = this.#reading;
    const restBytes = bodyless ? 0 : Number(this.header("content-length") ?? Infinity);
    if (this.#flowing || restBytes > CHEAP_REST_BYTES) {
      this.#message.destroy();
    } else {
      // Reading the rest keeps the connection. A server that never sends the rest loses the connection after the silence.
      this.#flow(this.#sink);
      interruption.watchdog.arm(silenceMs);
    }
  }

  #flow(sink: (chunk: Uint8Array) => void): void {
    this.#sink ??= sink;
    if (this.#flowing || this.#ended) return;
    this.#flowing = true;
    const { watchdog } = this.#reading.interruption;
    watchdog.stop();
    this.#message.on("data", (chunk: Uint8Array) => {
      watchdog.touch();
      this.#sink!(chunk);
      if (this.#queue.length > 0) this.#wake?.();
    });
  }

  async #wait(): Promise<void> {
    const { interruption, silenceMs } = this.#reading;
    interruption.watchdog.arm(silenceMs);
    await new Promise<void>((resolve) => (this.#wake = resolve));
    this.#wake = undefined;
    interruption.watchdog.stop();
  }

  #end(error?: unknown): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#error = this.#reading.interruption.settle(error);
    this.#wake?.();
  }
}

export interface NodeSend {
  send: Send;
  /** Closes idle connections. */
  close(): void;
}

/** Returns a transport with connections of its own; undefined where there is no `node:http`. */
export function nodeSend(): NodeSend | undefined {
  const http = nodeBuiltin<NodeHttp>("node:http");
  if (http === undefined) return undefined;
  const connections = new Connections(http);
  const send: Send = async (request) => {
    request.signal?.throwIfAborted();
    const { body } = request;
    const bytes = body === undefined || body instanceof Uint8Array ? body : new Uint8Array(await body.arrayBuffer());
    return exchange(connections.begin(request), request, bytes);
  };
  return {
    send: Object.assign(send, { decodesNothing: true } as const),
    close: () => connections.close(),
  };
}

/** The connections to the servers of one store. They are one server nearly always, so the last one is kept parsed. */
class Connections {
  readonly #http: NodeHttp;
  readonly #agents = new Map<NodeHttp, NodeAgent>();
  #origin = "";
  #module: NodeHttp;
  #target: object = {};

  constructor(http: NodeHttp) {
    this.#http = http;
    this.#module = http;
  }

  begin({ method, url, headers }: Outgoing): NodeRequest {
    const slash = url.indexOf("/", 8);
    const origin = url.slice(0, slash);
    if (origin !== this.#origin) this.#resolve(origin);
    return this.#module.request({ ...this.#target, method, path: url.slice(slash), headers });
  }

  close(): void {
    for (const agent of this.#agents.values()) agent.destroy();
  }

  #resolve(origin: string): void {
    const { protocol, hostname, port } = new URL(origin);
    const module = protocol === "https:" ? nodeBuiltin<NodeHttp>("node:https")! : this.#http;
    this.#origin = origin;
    this.#module = module;
    this.#target = {
      protocol,
      hostname: hostname.replace(/^\[|\]$/g, ""),
      agent: this.#agentOf(module),
      ...(port !== "" && { port: Number(port) }),
    };
  }

  #agentOf(module: NodeHttp): NodeAgent {
    let agent = this.#agents.get(module);
    if (agent === undefined) {
      const limits = { maxSockets: MAX_SOCKETS, maxFreeSockets: MAX_SOCKETS, timeout: IDLE_TIMEOUT_MS };
      agent = new module.Agent({ keepAlive: true, ...limits });
      this.#agents.set(module, agent);
    }
    return agent;
  }
}

/** Sends the body of a request that has begun, and resolves to its answer once the headers are there. */
function exchange(outgoing: NodeRequest, request: Outgoing, body: Uint8Array | undefined): Promise<Incoming> {
  const { method, signal, headersTimeoutMs, silenceMs } = request;
  return new Promise((resolve, reject) => {
    let incoming: NodeMessage | undefined;
    let interruptedBy: unknown;
    const interrupt = (reason: unknown) => {
      interruptedBy ??= reason;
      (incoming ?? outgoing).destroy(reason instanceof Error ? reason : new Error("aborted"));
    };
    const watchdog = new Watchdog(() => interrupt(new Silence(incoming === undefined ? "no headers" : "no bytes")));
    const leave = onAbort(signal, () => interrupt(signal!.reason));
    const settle = (error?: unknown) => {
      watchdog.stop();
      leave();
      return error === undefined ? undefined : (interruptedBy ?? error);
    };
    outgoing.on("error", (error: Error) => reject(settle(error)));
    outgoing.on("response", (message: NodeMessage) => {
      incoming = message;
      // An answer that nobody reads gives its connection back after the silence.
      watchdog.arm(silenceMs);
      // A request that is refused before all of it was sent need not send the rest.
      message.once("end", () => outgoing.writableFinished || outgoing.destroy());
      const bodyless = isBodyless(method, message.statusCode);
      resolve(new NodeIncoming(message, { interruption: { watchdog, settle }, silenceMs, bodyless }));
    });
    const isLarge = body !== undefined && body.byteLength > PIECE_BYTES;
    // The wait for a free socket is not the store's silence. The last bytes of a large body may still sit in the kernel.
    outgoing.once("socket", () => watchdog.arm(isLarge ? silenceMs : headersTimeoutMs));
    if (isLarge) writePieces(outgoing, body, watchdog);
    else outgoing.end(body);
  });
}

function writePieces(outgoing: NodeRequest, body: Uint8Array, watchdog: Watchdog): void {
  let offset = 0;
  const writeNext = () => {
    watchdog.touch();
    const piece = body.subarray(offset, (offset += PIECE_BYTES));
    if (offset >= body.byteLength) outgoing.end(piece);
    else outgoing.write(piece, writeNext);
  };
  writeNext();
}
