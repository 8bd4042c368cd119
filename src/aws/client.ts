/** What a user's `S3Client` decides: where the bucket is, who signs, and how requests travel. */
import { failure, Silence } from "../s3/refusal.js";
import { interruption, WebIncoming } from "../s3/fetch-transport.js";
import type { Incoming, Send } from "../s3/transport.js";
import type { Credentials, Provider } from "./credentials.js";
import type { EndpointOptions } from "./endpoint.js";
import { NodeIncoming, type NodeMessage } from "../s3/node-transport.js";

/**
 * What is used of an `S3Client` of `@aws-sdk/client-s3` version 3. Not its own type, which would ask everybody who
 * compiles against this package for Node's types.
 */
export interface S3ClientLike {
  /** Its settings, resolved. */
  readonly config: S3ClientConfig;
}

/** Where a client's requests go. */
export interface S3ClientEndpoint {
  /** With its colon. */
  protocol: string;
  /** Without the port. */
  hostname: string;
  /** Default: the protocol's. */
  port?: number;
  /** In front of bucket and key; `/` for none. */
  path: string;
}

/** What is read of the settings of an `S3Client`. */
export interface S3ClientConfig {
  /** Where the bucket is. */
  readonly region: () => Promise<string>;
  /** Who signs. */
  readonly credentials: (options?: any) => Promise<Pick<Credentials, "accessKeyId" | "secretAccessKey">>;
  /** What sends the requests that are signed here. */
  readonly requestHandler: {
    /** Sends one, and resolves to its answer. */
    handle(request: any, options?: any): Promise<any>;
  };
  /** Where another S3-compatible store is; absent for AWS. */
  readonly endpoint?: (() => Promise<S3ClientEndpoint>) | undefined;
  /** Whether the path names the bucket, rather than the host. */
  readonly forcePathStyle?: unknown;
  /** Refused when true: pass the endpoint and the name of the bucket. */
  readonly bucketEndpoint?: unknown;
  /** Whether S3's transfer acceleration is used. */
  readonly useAccelerateEndpoint?: unknown;
  /** Whether addresses are used that answer over IPv6, too. */
  readonly useDualstackEndpoint: () => Promise<boolean>;
  /** Whether addresses are used that comply with FIPS 140. */
  readonly useFipsEndpoint: () => Promise<boolean>;
}

/** A client's own time-outs come first; without any, a silent server is given up after this. Milliseconds. */
const PATIENCE = 60_000;

export function checkClient(client: S3ClientLike): S3ClientConfig {
  const config = (client as Partial<S3ClientLike> | undefined)?.config;
  if (typeof config?.requestHandler?.handle !== "function" || typeof config.credentials !== "function") {
    throw new TypeError("client must be an S3Client of @aws-sdk/client-s3 version 3");
  }
  return config;
}

export async function clientEndpoint(
  config: S3ClientConfig,
  bucket: string,
  fromEnvironment: string | undefined,
): Promise<EndpointOptions> {
  const [region, fips, dualstack, own] = await Promise.all([
    config.region(),
    config.useFipsEndpoint(),
    config.useDualstackEndpoint(),
    config.endpoint?.(),
  ]);
  if (config.bucketEndpoint === true) {
    throw failure(
      "ERR_UNSUPPORTED",
      "a client with bucketEndpoint is not supported: pass the endpoint and the name of the bucket",
      {
        store: `s3:${bucket}`,
      },
    );
  }
  const address = own && `${own.protocol}//${own.hostname}${own.port === undefined ? "" : `:${own.port}`}${own.path}`;
  return {
    bucket,
    region,
    fips,
    dualstack,
    endpoint: address ?? fromEnvironment,
    // The client's false is a default, but for its own requests it holds.
    forcePathStyle: config.forcePathStyle === true,
    accelerate: config.useAccelerateEndpoint === true,
  };
}

export function clientCredentials(config: S3ClientConfig): Provider {
  return (options) => (config.credentials as Provider)(options);
}

interface HandlerResponse {
  statusCode: number;
  headers: Record<string, string>;
  body?: unknown;
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
    watchdog.arm(Math.max(PATIENCE, request.headersTimeout));
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
