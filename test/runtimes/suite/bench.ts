import { createCache, type Cache, type CacheOptions, type ObjectStore } from "bucketcache";
import type { Runner } from "./harness.js";

/** Parts of the suite: those without a bucket, and the stores. */
export type Group = "keys" | "memory" | StoreKind;

/** `s3` signs with keys at hand, `client` by the SDK. */
export type StoreKind = "s3" | "client" | "presigned";

/** As users write it; the groups of the table. */
export const TITLES: Record<StoreKind, string> = {
  s3: "s3Store",
  client: "s3Store({ client })",
  presigned: "presignedStore",
};

/** Configuration of a run. It comes as JSON. */
export interface Config {
  /** Parts of the suite that are run. */
  groups: readonly Group[];
  /** Where the credentials may be: not in browsers. Spreads into `s3Store`. */
  s3?: {
    bucket: string;
    endpoint: string;
    region: string;
    forcePathStyle: true;
    credentials: { accessKeyId: string; secretAccessKey: string };
  };
  /** The presign handler; it refuses keys with `/denied/` in them. */
  presign: string;
  /** A presign handler of a bucket whose CORS rule lets pages use it, and exposes no header. */
  hidden: string;
  /** Whether it hides anything: from pages only, and not on MinIO. */
  hides: boolean;
  /** An address where nobody answers. */
  nowhere: string;
  /** In front of all keys of this run, before the name of the store. */
  prefix: string;
  /** The text of `schema/key-vectors.json`. */
  vectors: string;
}

/** A store under test, and what the tests of one store share. */
export interface Bench {
  runner: Runner;
  config: Config;
  kind: StoreKind;
  /** Under it lies what Node wrote beforehand, and what Node reads afterwards. */
  prefix: string;
  /** A new one of the same bucket. */
  open(options?: OpenOptions): ObjectStore;
  /** A cache on a new store, without the other caches' memory; `place` is shared by caches that see the same entries. */
  cache(place: string, options?: Partial<CacheOptions> & { open?: OpenOptions }): Cache;
}

export interface OpenOptions {
  partSize?: number;
  /** Not for `presigned`. */
  bucket?: string;
  /** Not for `presigned`. */
  credentials?: { accessKeyId: string; secretAccessKey: string };
  /** Where nothing answers. */
  nowhere?: boolean;
}

export function bench(
  parts: Pick<Bench, "runner" | "config" | "kind" | "open">,
  prefix = `${parts.config.prefix}${parts.kind}/`,
): Bench {
  return {
    ...parts,
    prefix,
    cache: (place, { open, ...options } = {}) =>
      createCache({ store: parts.open(open), prefix: `${prefix}${place}/`, ...options }),
  };
}

/** Bytes that do not repeat, so that parts in the wrong order show. */
export function pattern(size: number): Uint8Array<ArrayBuffer> {
  const words = new Uint32Array(Math.ceil(size / 4));
  for (let i = 0; i < words.length; i++) words[i] = Math.imul(i, 2_654_435_761);
  return new Uint8Array(words.buffer, 0, size);
}

/** By a reader: what a stream fails with, some browsers hide from who reads it through a `Response`. */
export async function bytesOf(stream: ReadableStream<Uint8Array> | undefined): Promise<Uint8Array<ArrayBuffer>> {
  if (stream === undefined) throw new Error("there is no such entry");
  const chunks: Uint8Array[] = [];
  const reader = stream.getReader();
  for (let next; !(next = await reader.read()).done;) chunks.push(next.value);
  const bytes = new Uint8Array(chunks.reduce((size, chunk) => size + chunk.byteLength, 0));
  let at = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, at);
    at += chunk.byteLength;
  }
  return bytes;
}

export async function textOf(stream: ReadableStream<Uint8Array> | undefined): Promise<string> {
  return new TextDecoder().decode(await bytesOf(stream));
}
