/** A user's `S3Client`: the part of it that is used, and a transport over its request handler. */
import { parseQuery } from "../base/percent.js";
import { WebIncoming } from "../s3/fetch-transport.js";
import { isBodyless, NodeIncoming, type NodeMessage } from "../s3/node-transport.js";
import type { Incoming, Outgoing, Send } from "../s3/transport.js";
import { interruptible, Silence, type Interruption } from "../s3/watchdog.js";
import type { Credentials, Provider } from "./credentials.js";

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

/** A client's own time-outs come first. Without any, or with shorter ones, a silent server is given up after this. */
const MIN_PATIENCE_MS = 60_000;

/** @throws TypeError for anything but a client */
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

/** Time-outs of a request handler, in milliseconds. */
interface HandlerTimeouts {
  requestTimeout?: number;
  socketTimeout?: number;
}

/** Returns a transport over the client's request handler: proxies, authorities, agents and time-outs are the user's. */
export function clientSend({ requestHandler }: S3ClientConfig): Send {
  return async (request): Promise<Incoming> => {
    const sdkRequest = await toSdkRequest(request);
    const interruption = interruptible(request.signal);
    const { requestTimeout = 0, socketTimeout = 0 } = (requestHandler.httpHandlerConfigs?.() ?? {}) as HandlerTimeouts;
    interruption.watchdog.arm(Math.max(MIN_PATIENCE_MS, request.headersTimeoutMs, requestTimeout, socketTimeout));
    try {
      const options = { abortSignal: interruption.signal };
      const { response } = (await requestHandler.handle(sdkRequest, options)) as { response: HandlerResponse };
      interruption.watchdog.arm(request.silenceMs);
      return toIncoming(request, response, interruption);
    } catch (error) {
      const isTimeout = (error as { name?: string } | undefined)?.name === "TimeoutError";
      throw interruption.settle(isTimeout ? new Silence("the client's time-out") : error);
    }
  };
}

async function toSdkRequest({ method, url, headers, body }: Outgoing) {
  const slash = url.indexOf("/", 8);
  const mark = url.indexOf("?", slash);
  const { protocol, hostname, port, host } = new URL(url.slice(0, slash));
  return {
    method,
    protocol,
    hostname,
    ...(port !== "" && { port: Number(port) }),
    path: mark < 0 ? url.slice(slash) : url.slice(slash, mark),
    query: mark < 0 ? {} : parseQuery(url.slice(mark + 1)),
    headers: { ...headers, host },
    body: body === undefined || body instanceof Uint8Array ? body : new Uint8Array(await body.arrayBuffer()),
  };
}

function toIncoming(
  { method, silenceMs }: Outgoing,
  { statusCode, headers, body }: HandlerResponse,
  interruption: Interruption,
): Incoming {
  const lowerCase: Record<string, string> = {};
  for (const name in headers) lowerCase[name.toLowerCase()] = headers[name]!;
  const bodyless = isBodyless(method, statusCode);
  if (typeof (body as Partial<NodeMessage> | undefined)?.on === "function") {
    const message = body as NodeMessage;
    message.statusCode = statusCode;
    return new NodeIncoming(message, { interruption, silenceMs, bodyless }, lowerCase);
  }
  const content = bodyless || body === undefined ? null : (body as ReadableStream | Blob);
  const response = new Response(content, { headers: lowerCase });
  // The constructor refuses statuses such as 304 beside a body.
  Object.defineProperty(response, "status", { value: statusCode });
  return new WebIncoming(response, interruption, silenceMs);
}
