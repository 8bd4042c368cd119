// The servers that the runtimes talk to, all in this process: a bucket, the presign handler, and the server that tells each
// runtime its configuration, takes its results and serves pages.
import { randomBytes } from "node:crypto";
import { readFile } from "node:fs/promises";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { join, normalize } from "node:path";
import { CreateBucketCommand, PutBucketCorsCommand, S3Client } from "@aws-sdk/client-s3";
import { createCache, type Cache } from "bucketcache";
import { startDevServer } from "bucketcache/dev";
import { createPresignHandler, toNodeListener } from "bucketcache/handler";
import { s3Store } from "bucketcache/s3";
import { startMinio } from "../../support/minio.js";
import { freePort } from "../../support/tools.js";
import { TITLES, type Config, type Group, type StoreKind } from "../suite/bench.js";
import { run as runTests, type Result } from "../suite/harness.js";
import type { Message } from "../suite/index.js";
import { readFrom, writeFor } from "../suite/values.js";
import { ROOT } from "./bundle.js";

const MIME: Record<string, string> = { js: "text/javascript", html: "text/html; charset=utf-8" };

/** The bucket that the starts of docs/runtimes.md use. */
export const STARTS = "my-results";

export interface Run {
  /** Tells the configuration, and takes the results. */
  url: string;
  results: Result[];
  /** Resolves when all results are there. */
  ended: Promise<void>;
  /** Reads on Node what the runtime wrote, as more results. */
  readBack(): Promise<void>;
}

export interface Backend {
  /** Where pages come from. */
  origin: string;
  s3: NonNullable<Config["s3"]>;
  /** How often pages asked whether they may ask the handler. */
  preflights(): number;
  begin(options: { groups: readonly Group[]; only: string }): Promise<Run>;
  /** Serves the files of a folder under a path; answers what the handler answers, where one is given. */
  serve(path: string, folder: string): void;
  /** Serves one page, or one script. */
  page(path: string, content: string, type?: "html" | "js"): void;
  handle(path: string, listener: (request: IncomingMessage, response: ServerResponse) => void): void;
  close(): Promise<void>;
}

export async function startBackend(useMinio: boolean): Promise<Backend> {
  const { bucket, hiddenBucket, config, stop } = await startBucket(useMinio);
  const s3 = { bucket, ...config };
  const routes = new Map<string, (request: IncomingMessage, response: ServerResponse) => unknown>();
  const server = createServer((request, response) => {
    const path = new URL(request.url ?? "/", "http://localhost").pathname;
    const route = [...routes].find(([prefix]) => path === prefix || path.startsWith(`${prefix}/`));
    if (route === undefined) return void response.writeHead(404).end();
    Promise.resolve(route[1](request, response)).catch((error: unknown) => {
      console.error(error);
      response.destroy();
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  // A name and not an address: some browsers take only the former for a secure context on every port.
  const origin = `http://localhost:${port}`;
  if (!useMinio) {
    // The rule of docs/s3.md, and nothing beyond it. MinIO has no rules, and exposes everything.
    const exposed = ["x-amz-meta-entry", "x-amz-meta-expires_at", "x-amz-meta-compressed", "etag"];
    for (const each of [bucket, STARTS]) await allowPages({ ...s3, bucket: each }, origin, exposed);
    await allowPages({ ...s3, bucket: hiddenBucket }, origin, undefined);
  }
  const base = `http://127.0.0.1:${port}`;
  let preflights = 0;
  const handlers = { presign: "/presign", hidden: "/presign-hidden" };
  for (const [name, path] of Object.entries(handlers)) {
    const handler = createPresignHandler({
      store: s3Store(name === "hidden" ? { ...s3, bucket: hiddenBucket } : s3),
      authorize: ({ key }) => !key.includes("/denied/"),
      allowedOrigins: [origin],
      allowList: true,
    });
    const listener = toNodeListener(handler);
    routes.set(path, (request, response) => {
      if (request.method === "OPTIONS") preflights++;
      listener(request, response);
    });
  }
  const nowhere = `http://127.0.0.1:${await freePort()}`;
  const vectors = await readFile(join(ROOT, "schema/key-vectors.json"), "utf8");

  const backend: Backend = {
    origin,
    s3,
    preflights: () => preflights,
    async begin({ groups, only }) {
      const path = `/runs/${randomBytes(6).toString("hex")}`;
      const kinds = groups.filter((group): group is StoreKind => group in TITLES);
      const credentials = kinds.some((kind) => kind !== "presigned");
      const settings: Config & { only: string } = {
        groups,
        nowhere,
        vectors,
        only,
        prefix: `suite${path}/`,
        presign: base + handlers.presign,
        hidden: base + handlers.hidden,
        hides: !credentials && !useMinio,
        ...(credentials && { s3 }),
      };
      const onNode = (kind: string, place: string): Cache =>
        createCache({ store: s3Store(s3), prefix: `${settings.prefix}${kind}/${place}/` });
      for (const kind of kinds) await writeFor(onNode(kind, "from-node"));

      const results: Result[] = [];
      const ended = new Promise<void>((resolve, reject) => {
        routes.set(path, async (request, response) => {
          // A connection that is kept may be closed here just as a busy runtime sends its next result.
          response.setHeader("connection", "close");
          if (request.method === "POST") {
            const message = JSON.parse(await bodyOf(request)) as Message;
            if ("end" in message) resolve();
            else if ("trouble" in message) reject(new Error(message.trouble));
            else results.push(message);
            response.end();
            return;
          }
          response.setHeader("content-type", "application/json");
          response.end(JSON.stringify(settings));
        });
      });
      // The caller that awaits it sees the failure.
      ended.catch(() => {});
      return {
        url: base + path,
        results,
        ended,
        readBack: () =>
          runTests(
            (runner) => {
              for (const kind of kinds) {
                runner.describe(`${TITLES[kind]} > read by Node`, () =>
                  readFrom(runner, "this runtime", () => onNode(kind, "to-node")),
                );
              }
            },
            async (result) => results.push(result),
            only,
          ),
      };
    },
    serve(path, folder) {
      routes.set(path, async (request, response) => {
        const name = normalize(decodeURIComponent(new URL(request.url ?? "/", origin).pathname.slice(path.length)));
        const content = await readFile(join(folder, name)).catch(() => undefined);
        if (content === undefined) return void response.writeHead(404).end();
        response.setHeader("content-type", MIME[name.split(".").at(-1) as string] ?? "application/octet-stream");
        response.end(content);
      });
    },
    page(path, content, type = "html") {
      routes.set(path, (_, response) => {
        response.setHeader("content-type", MIME[type] as string);
        response.end(content);
      });
    },
    handle: (path, listener) => void routes.set(path, listener),
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
      await stop();
    },
  };
  return backend;
}

async function startBucket(useMinio: boolean) {
  const bucket = `runtimes-${randomBytes(4).toString("hex")}`;
  const hiddenBucket = `${bucket}-hidden`;
  if (!useMinio) {
    const { close, ...config } = await startDevServer({ buckets: [bucket, hiddenBucket, STARTS] });
    return { bucket, hiddenBucket, config, stop: close };
  }
  const { minio, stop } = await startMinio();
  const { endpoint, accessKeyId, secretAccessKey } = minio;
  const credentials = { accessKeyId, secretAccessKey };
  const config = { endpoint, region: "us-east-1", forcePathStyle: true as const, credentials };
  const client = new S3Client(config);
  for (const Bucket of [bucket, hiddenBucket, STARTS]) await client.send(new CreateBucketCommand({ Bucket }));
  client.destroy();
  return { bucket, hiddenBucket, config, stop };
}

async function allowPages(
  { bucket, ...config }: Backend["s3"],
  origin: string,
  ExposeHeaders: string[] | undefined,
): Promise<void> {
  const client = new S3Client(config);
  const rule = {
    AllowedOrigins: [origin],
    AllowedMethods: ["GET", "HEAD", "PUT", "DELETE"],
    AllowedHeaders: ["*"],
    ExposeHeaders,
    MaxAgeSeconds: 3_600,
  };
  await client.send(new PutBucketCorsCommand({ Bucket: bucket, CORSConfiguration: { CORSRules: [rule] } }));
  client.destroy();
}

async function bodyOf(request: IncomingMessage): Promise<string> {
  let text = "";
  for await (const chunk of request) text += String(chunk);
  return text;
}
