// workerd, where I/O and promises belong to the request that began them. All is imported, and the cache is made, outside
// of any request: where timers, I/O and random numbers are forbidden.
import * as core from "bucketcache";
import * as handler from "bucketcache/handler";
import * as memory from "bucketcache/memory";
import * as presigned from "bucketcache/presigned";
import * as s3 from "bucketcache/s3";
import * as testing from "bucketcache/testing";

const imported = [core, handler, memory, presigned, s3, testing].flatMap((module) => Object.keys(module));

interface Env {
  ACCOUNT_ID: string;
  R2_ACCESS_KEY_ID: string;
  R2_SECRET_ACCESS_KEY: string;
  /** Answers `GET /gate` when it is opened. */
  GATE: string;
}

interface Context {
  waitUntil(promise: Promise<unknown>): void;
}

const made = core.createCache({ store: memory.memoryStore() });
let opened: { cache: core.Cache; slow: core.Wrapped<(key: string) => Promise<string>> } | undefined;

/** As R2 is configured, by its S3 endpoint. */
const r2 = (env: Env, bucket: string) =>
  s3.s3Store({
    bucket,
    endpoint: `https://${env.ACCOUNT_ID}.r2.cloudflarestorage.com`,
    region: "auto",
    credentials: { accessKeyId: env.R2_ACCESS_KEY_ID, secretAccessKey: env.R2_SECRET_ACCESS_KEY },
  });

function open(env: Env): NonNullable<typeof opened> {
  const cache = core.createCache({ store: r2(env, "my-results"), prefix: "requests/" });
  const slow = cache.wrap(async (key: string) => `${key}: ${await (await fetch(`${env.GATE}/gate`)).text()}`, {
    name: "slow",
  });
  return { cache, slow };
}

/** More than a part, of a length that nobody knows beforehand. */
async function* megabytes(count: number): AsyncGenerator<Uint8Array> {
  for (let i = 0; i < count; i++) yield new Uint8Array(1 << 20);
}

const ROUTES: Record<
  string,
  (tools: NonNullable<typeof opened>, context: Context, env: Env, key: string) => Promise<unknown>
> = {
  imported: async () => imported,
  // Its own store too is of the module, and its memory.
  made: () => made.getOrSet("key", () => "value"),
  // Begins a load and ends before it.
  async begin({ slow }, context, _env, key) {
    void slow.with({ waitUntil: (promise) => context.waitUntil(promise) })(key);
    return "begun";
  },
  // Joins it, and opens the gate only then.
  async join({ cache, slow }, context, env, key) {
    const value = slow.with({ waitUntil: (promise) => context.waitUntil(promise) })(key);
    await (await fetch(`${env.GATE}/open`)).text();
    return { value: await value, calls: cache.stats().calls };
  },
  async call({ cache, slow }, _context, _env, key) {
    return { value: await slow(key), calls: cache.stats().calls };
  },
  async background({ cache }, context, _env, key) {
    const waitUntil = (promise: Promise<unknown>) => context.waitUntil(promise);
    await cache.set(key, "written", { write: "background", waitUntil });
    return "answered";
  },
  // XML is read: a list, a batch delete, an upload in parts, an error.
  async xml({ cache }, _context, env) {
    await cache.setMany(["xml/a", "xml/b&c"].map((key) => ({ key, value: key })));
    const keys = [];
    for await (const { key } of cache.list({ prefix: "xml/" })) keys.push(key);
    await cache.set("xml/large", megabytes(9), { compress: false });
    const size = (await cache.getEntry<Uint8Array>("xml/large"))?.size;
    await cache.clear({ prefix: "xml/" });
    const left = await cache.getMany(keys);
    const code = await r2(env, "no-such-bucket")
      .get("key")
      .catch((error: core.BucketCacheError) => error.code);
    return { keys, size, left: left.filter((value) => value !== undefined), code, parser: "DOMParser" in globalThis };
  },
};

export default {
  async fetch(request: Request, env: Env, context: Context): Promise<Response> {
    const { pathname, searchParams } = new URL(request.url);
    const route = ROUTES[pathname.slice(1)];
    if (route === undefined) return new Response("no such route", { status: 404 });
    try {
      opened ??= open(env);
      return Response.json(await route(opened, context, env, searchParams.get("key") ?? ""));
    } catch (error) {
      return new Response(String((error as Error).stack), { status: 500 });
    }
  },
};
