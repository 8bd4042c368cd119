/**
 * An S3 endpoint for development and tests, on Node alone.
 *
 * @module bucketcache/dev
 */
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { resolve } from "node:path";
import { BucketCacheError } from "../errors.js";
import { FolderBackend } from "./folder-backend.js";
import { MemoryBackend } from "./memory-backend.js";
import { createS3Server } from "./server.js";
import { isBucketName, Storage } from "./storage.js";

const ADDRESS = "127.0.0.1";
const REGION = "us-east-1";

/** Options of {@link startDevServer}. */
export interface DevServerOptions {
  /**
   * Port to listen on. 0 stands for any free port.
   *
   * @default 0
   */
  port?: number;
  /**
   * Folder that keeps everything, for one server at a time. It is made when absent.
   *
   * @default none: everything is in memory
   */
  directory?: string;
  /**
   * Access key that the server takes.
   *
   * @default "bucketcache"
   */
  accessKeyId?: string;
  /**
   * Secret key that the server takes.
   *
   * @default a random one at each start
   */
  secretAccessKey?: string;
  /**
   * Buckets that are made at the start where they do not exist.
   *
   * @default ["bucketcache"]
   */
  buckets?: readonly string[];
}

/** A server that runs. It spreads into the options of `s3Store`, and of an `S3Client`. */
export interface DevServer {
  /** `http://127.0.0.1:<port>` */
  endpoint: string;
  /** The one region that signatures may name: `us-east-1`. */
  region: string;
  /** Buckets are named in the path: there is no DNS for names below 127.0.0.1. */
  forcePathStyle: true;
  /** The only credentials that it takes. */
  credentials: Pick<Required<DevServerOptions>, "accessKeyId" | "secretAccessKey">;
  /** Ends every connection and stops listening. The content of a folder stays. */
  close(): Promise<void>;
}

/**
 * Starts an S3 endpoint for development and tests, on Node alone, that listens on 127.0.0.1 and nowhere else. It
 * verifies SigV4 signatures in headers and in presigned URLs, and serves what a cache client uses: objects with ranges,
 * metadata and conditions, multipart uploads, lists, batch deletes, CORS. It behaves as AWS documents. It is a tool,
 * not a product: nothing is replicated, and everything but the bytes is held in memory.
 *
 * @example
 * ```ts
 * import { createCache } from "bucketcache";
 * import { startDevServer } from "bucketcache/dev";
 * import { s3Store } from "bucketcache/s3";
 *
 * const server = await startDevServer({ directory: ".bucketcache" });
 * const cache = createCache({ store: s3Store({ bucket: "bucketcache", ...server }) });
 * await cache.set("key", "value");
 * await cache.close();
 * await server.close();
 * ```
 *
 * @throws TypeError for ill-formed options
 * @throws BucketCacheError `ERR_UNAVAILABLE` when the port is taken, `ERR_CONFLICT` when another server has the folder.
 */
export async function startDevServer(options: DevServerOptions = {}): Promise<DevServer> {
  const {
    port = 0,
    directory,
    accessKeyId = "bucketcache",
    secretAccessKey = randomBytes(30).toString("base64url"),
    buckets = ["bucketcache"],
  } = options;
  checkOptions({ port, directory, accessKeyId, secretAccessKey, buckets });

  const storage = openStorage(directory, buckets);

  const { server, settled } = createS3Server(storage, { accessKeyId, secretAccessKey, region: REGION });
  try {
    server.listen(port, ADDRESS);
    await once(server, "listening");
  } catch (cause) {
    storage.backend.close();
    const code = String((cause as NodeJS.ErrnoException).code);
    const message = `The dev server cannot listen on ${ADDRESS}:${port} (${code}); choose another port, or 0 for a free one`;
    throw new BucketCacheError("ERR_UNAVAILABLE", message, { cause });
  }

  let closing: Promise<void> | undefined;
  return {
    endpoint: `http://${ADDRESS}:${(server.address() as AddressInfo).port}`,
    region: REGION,
    forcePathStyle: true,
    credentials: { accessKeyId, secretAccessKey },
    close() {
      closing ??= new Promise<void>((closed) => {
        server.close(() => closed());
        server.closeAllConnections();
      })
        .then(settled)
        .then(() => storage.backend.close());
      return closing;
    },
  };
}

function openStorage(directory: string | undefined, buckets: readonly string[]): Storage {
  const folder = directory === undefined ? undefined : new FolderBackend(resolve(directory));
  try {
    const storage = new Storage(folder ?? new MemoryBackend(), folder?.load());
    for (const name of buckets) storage.createBucket(name, Date.now());
    return storage;
  } catch (error) {
    folder?.close();
    throw error;
  }
}

function checkOptions(options: {
  port: unknown;
  directory: unknown;
  accessKeyId: unknown;
  secretAccessKey: unknown;
  buckets: unknown;
}): void {
  const { port, directory, accessKeyId, secretAccessKey, buckets } = options;
  if (typeof port !== "number" || !Number.isInteger(port) || port < 0 || port > 65_535) {
    throw new TypeError(`port must be an integer from 0 (a free one) to 65535; got ${String(port)}`);
  }
  if (directory !== undefined && (typeof directory !== "string" || directory === "")) {
    throw new TypeError("directory must be the path of a folder; leave it out to keep everything in memory");
  }
  if (typeof accessKeyId !== "string" || !/^[\w.+-]{1,128}$/.test(accessKeyId)) {
    throw new TypeError("accessKeyId must be 1 to 128 letters, digits, or any of _ . + -");
  }
  if (typeof secretAccessKey !== "string" || secretAccessKey === "") {
    throw new TypeError("secretAccessKey must be a string that is not empty; leave it out for a random one");
  }
  if (!Array.isArray(buckets)) throw new TypeError("buckets must be an array of bucket names");
  for (const name of buckets) {
    if (typeof name !== "string" || !isBucketName(name)) {
      throw new TypeError(
        `${JSON.stringify(name)} in buckets is no bucket name: 3 to 63 lower-case letters, digits, dots and hyphens, beginning and ending with a letter or digit`,
      );
    }
  }
}
