/** Parts of a user's `S3Client`: its credentials, how its requests travel, and how often they are tried. */
import { Silence } from "../s3/refusal.js";
import { interruption, WebIncoming } from "../s3/fetch-transport.js";
import type { Incoming, Send } from "../s3/transport.js";
import type { Credentials, Provider } from "./credentials.js";
import { NodeIncoming, type NodeMessage } from "../s3/node-transport.js";

/**
 * The part of an `S3Client` of `@aws-sdk/client-s3` version 3 that is used. The SDK's own type would ask everybody who
 * compiles against this package for Node's types.
 */
export interface S3ClientLike {
  /** Its settings, resolved. */
  readonly config: S3ClientConfig;
  /** Resolves where requests go. */
  readonly middlewareStack: {
    /** Copies it; the client's own stays as it is. */
    clone(): any;
  };
}

/** The settings of an `S3Client` that are read; the SDK's presigner reads the rest. */
export interface S3ClientConfig {
  /** Provides the keys that sign. */
  readonly credentials: (options?: any) => Promise<Pick<Credentials, "accessKeyId" | "secretAccessKey">>;
  /** Sends the signed requests. */
  readonly requestHandler: {
    /** Sends one request, and resolves to its answer. */
    handle(request: any, options?: any): Promise<any>;
    /** Tells its time-outs. */
    httpHandlerConfigs?(): object;
  };
  /** Resolves to the number of attempts per request, the first included. */
  readonly maxAttempts: () => Promise<number>;
}

/** A client's own time-outs come first; without any, or with shorter ones, a silent server is given up after this. Milliseconds. */
const PATIENCE = 60_000;

export function checkClient(client: S3ClientLike): S3ClientConfig {
  const { config, middlewareStack } = (client ?? {}) as Partial<S3ClientLike>;
  if (
    typeof config?.requestHandler?.handle !== "function" ||
    typeof config.credentials !== "function" ||
    typeof middlewareStack?.clone !== "function"
  ) {
    throw new TypeError("client must be an S3Client of @aws-sdk/client-s3 version 3");
  }
  return config;
}

export function clientCredentials(config: S3ClientConfig): Provider {
  return (options) => (config.credentials as Provider)(options);
}

interface HandlerResponse {
  statusCode: number;
  headers: Record<string, string>;
  body?: unknown;
}

/** Milliseconds. */
interface TimeOuts {
  requestTimeout?: number;
  socketTimeout?: number;
}

/** Sends through the client's request handler, so that proxies, authorities, agents and time-outs are the user's. */
export function clientSend(config: S3ClientConfig): Send {
  return async (request): Promise<Incoming> => {
    const { method, url, headers, signal, silence } = request;
    const slash = url.indexOf("/", 8);
    const mark = url.indexOf("?", slash);
    const { protocol, hostname, port, host } = new URL(url.slice(0, slash));
    const body =
      request.body === undefined || request.body instanceof Uint8Array
        ? request.body
        : new Uint8Array(await request.body.arrayBuffer());
    const { signal: inner, watchdog, settle } = interruption(signal);
    const { requestTimeout = 0, socketTimeout = 0 } = (config.requestHandler.httpHandlerConfigs?.() ?? {}) as TimeOuts;
    watchdog.arm(Math.max(PATIENCE, request.headersTimeout, requestTimeout, socketTimeout));
    try {
      const { response } = (await config.requestHandler.handle(
        {
          method,
          protocol,
          hostname,
          ...(port !== "" && { port: Number(port) }),
          path: mark < 0 ? url.slice(slash) : url.slice(slash, mark),
          query: mark < 0 ? {} : parseQuery(url.slice(mark + 1)),
          headers: { ...headers, host },
          body,
        },
        { abortSignal: inner },
      )) as { response: HandlerResponse };
      watchdog.arm(silence);
      return toIncoming(method, response, silence, watchdog, settle);
    } catch (error) {
      if ((error as { name?: string } | undefined)?.name === "TimeoutError")
        throw settle(new Silence("the client's time-out"));
      throw settle(error);
    }
  };
}

function toIncoming(
  method: string,
  { statusCode, headers, body }: HandlerResponse,
  silence: number,
  watchdog: ConstructorParameters<typeof NodeIncoming>[3],
  settle: (error?: unknown) => unknown,
): Incoming {
  const lower: Record<string, string> = {};
  for (const name in headers) lower[name.toLowerCase()] = headers[name]!;
  const bodyless = method === "HEAD" || statusCode === 204 || statusCode === 304;
  if (typeof (body as Partial<NodeMessage> | undefined)?.on === "function") {
    const message = body as NodeMessage;
    message.statusCode = statusCode;
    return new NodeIncoming(message, bodyless, silence, watchdog, settle, lower);
  }
  const content = bodyless || body === undefined ? null : (body as ReadableStream | Blob);
  // A Response cannot be made with these names of its own transport's making, and its body is what it is already.
  const response = new Response(content, { headers: lower });
  Object.defineProperty(response, "status", { value: statusCode });
  return new WebIncoming(response, watchdog, silence, settle);
}

function parseQuery(text: string): Record<string, string> {
  const query: Record<string, string> = {};
  for (const pair of text.split("&")) {
    const equals = pair.indexOf("=");
    query[decodeURIComponent(pair.slice(0, equals))] = decodeURIComponent(pair.slice(equals + 1));
  }
  return query;
}
