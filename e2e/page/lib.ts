/** Helpers that tests find in the page as `lib`. */
import { createCache, isBucketCacheError, type Cache, type CacheOptions, type Grant } from "bucketcache";
import { presignedStore } from "bucketcache/presigned";

export { kindsOfValues } from "../../test/support/values.js";
export { show } from "./show.js";
export { createCache, presignedStore };

/** A cache over the handler of this page's own server. */
export function open(
  options: Partial<CacheOptions> & { url?: string; concurrency?: number; headers?: Record<string, string> } = {},
): Cache {
  const { url = "/presign", concurrency, headers, ...rest } = options;
  const store = presignedStore({ url, ...(concurrency && { concurrency }), ...(headers && { headers }) });
  return createCache({ store, ...rest });
}

/** A cache of nothing but these grants, whose keys have the prefix already. */
export function openGrants(grants: readonly Grant[]): Cache {
  return createCache({ store: presignedStore({ grants }), prefix: "", memory: false });
}

/** Returns the value that a call resolves to, or the code and message of its error. */
export async function outcome<T>(call: Promise<T>): Promise<{ value?: T; code?: string; message?: string }> {
  try {
    return { value: await call };
  } catch (error) {
    const { name, message } = error as Error;
    return { code: isBucketCacheError(error) ? error.code : name, message };
  }
}

/** Bytes that do not compress, the same in each call. */
export function noise(length: number): Uint8Array<ArrayBuffer> {
  const words = new Uint32Array(Math.ceil(length / 4));
  let seed = 88_675_123;
  for (let i = 0; i < words.length; i++) {
    seed ^= seed << 13;
    seed ^= seed >>> 17;
    seed ^= seed << 5;
    words[i] = seed;
  }
  return new Uint8Array(words.buffer, 0, length);
}

/** A stream of so many chunks, made as they are asked for. */
export function chunks(count: number, chunk: Uint8Array<ArrayBuffer>): ReadableStream<Uint8Array> {
  let left = count;
  return new ReadableStream({
    pull(controller) {
      if (left-- > 0) controller.enqueue(chunk.slice());
      else controller.close();
    },
  });
}

export async function sha256(body: BodyInit): Promise<string> {
  const digest = await crypto.subtle.digest("SHA-256", await new Response(body).arrayBuffer());
  return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Makes the clock of this page wrong by so many hours from now on. */
export function shiftClock(hours: number): void {
  const Right = Date;
  const now = (): number => Right.now() + hours * 3_600_000;
  globalThis.Date = new Proxy(Right, {
    construct: (target, args: []) => (args.length === 0 ? new target(now()) : new target(...args)),
    get: (target, name, receiver) => (name === "now" ? now : Reflect.get(target, name, receiver)),
  });
}
