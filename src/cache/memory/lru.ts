import type { StandardSchemaV1 } from "@standard-schema/spec";
import type { Lifespan } from "../lifetime.js";

/** Facts about an entry besides its value. */
export interface EntryInfo {
  /** Unix seconds; undefined for objects that other programs wrote. */
  createdAt: number | undefined;
  /** Unix seconds in the store's time; undefined: never. */
  expiresAt: number | undefined;
  /** Bytes of the stored object. */
  size: number;
  /** Empty while the object has not been written yet. */
  etag: string;
  lastModified: Date | undefined;
  contentType: string;
  /** The `key` of the entry's metadata, which tells whose result it is; for function results. */
  keyHash: string | undefined;
}

/**
 * Instants in memory count from here, in milliseconds. They are then small integers, which V8 keeps in the object
 * itself; larger numbers take 16 bytes more each. In a small entry, most memory goes to what is kept beside its value.
 */
let epoch = 0;

// Round last: only then does V8 store the difference as a small integer.
const compact = (seconds: number | undefined): number | undefined =>
  seconds === undefined ? undefined : Math.round(seconds * 1000 - epoch);

const seconds = (instant: number | undefined): number | undefined =>
  instant === undefined ? undefined : (instant + epoch) / 1000;

/** An entry in memory: a link of the recency list, and the target of the memo that a wrapped function keeps. */
export class MemoryNode implements EntryInfo, Lifespan {
  declare readonly key: string;
  declare readonly value: unknown;
  /** Whether each caller gets a copy. */
  declare readonly mustCopy: boolean;
  /** Bytes of the decoded body and of the keys, for `maxBytes`. */
  declare weight: number;
  declare readonly size: number;
  declare readonly etag: string;
  declare readonly contentType: string;
  /** Dropped once the node has a memo, which already proves which function the result belongs to. */
  declare keyHash: string | undefined;
  /** The memo of the wrapped function that owns this result, and the key in it. */
  declare memo: Map<string, MemoryNode> | undefined;
  declare memoKey: string;
  /** The schema that this value is known to fit. */
  declare validFor: StandardSchemaV1 | undefined;
  declare newer: MemoryNode | undefined;
  declare older: MemoryNode | undefined;
  // These count from the epoch.
  declare private readonly created: number | undefined;
  declare private readonly ends: number | undefined;
  declare private readonly modified: number | undefined;
  declare private confirmed: number;

  constructor(key: string, value: unknown, mustCopy: boolean, weight: number, info: EntryInfo) {
    epoch ||= Date.now();
    this.key = key;
    this.value = value;
    this.mustCopy = mustCopy;
    this.weight = weight;
    this.size = info.size;
    this.etag = info.etag;
    this.contentType = info.contentType;
    this.keyHash = info.keyHash;
    this.created = compact(info.createdAt);
    this.ends = compact(info.expiresAt);
    const modifiedMs = info.lastModified?.getTime();
    // A store that hides the time gives an invalid date.
    this.modified = modifiedMs ? Math.round(modifiedMs - epoch) : undefined;
    this.confirmed = Math.round(Date.now() - epoch);
    this.memo = this.validFor = this.newer = this.older = undefined;
    this.memoKey = "";
  }

  /** The node itself, so that a node is a cached value too. */
  get node(): MemoryNode {
    return this;
  }

  get createdAt(): number | undefined {
    return seconds(this.created);
  }

  get expiresAt(): number | undefined {
    return seconds(this.ends);
  }

  get lastModified(): Date | undefined {
    return this.modified === undefined ? undefined : new Date(this.modified + epoch);
  }

  get endsAtMs(): number {
    return this.ends === undefined ? Infinity : this.ends + epoch;
  }

  get confirmedAtMs(): number {
    return this.confirmed + epoch;
  }

  /** Notes that the store has just confirmed the value. */
  confirm(): void {
    this.confirmed = Math.round(Date.now() - epoch);
  }
}

/**
 * The bounded in-memory layer: least recently used first out, by number and by bytes. Nodes are stable objects, so a
 * wrapped function can keep one and reach it again without computing its key.
 */
export class Lru {
  readonly #nodes = new Map<string, MemoryNode>();
  readonly #maxEntries: number;
  readonly #maxBytes: number;
  readonly #onEvict: (node: MemoryNode) => void;
  #newest: MemoryNode | undefined;
  #oldest: MemoryNode | undefined;
  #bytes = 0;

  constructor(maxEntries: number, maxBytes: number, onEvict: (node: MemoryNode) => void) {
    this.#maxEntries = maxEntries;
    this.#maxBytes = maxBytes;
    this.#onEvict = onEvict;
  }

  get entries(): number {
    return this.#nodes.size;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Finds a node without counting as a use. */
  peek(key: string): MemoryNode | undefined {
    return this.#nodes.get(key);
  }

  /** Marks a node as the most recently used. */
  touch(node: MemoryNode): void {
    if (node === this.#newest) return;
    this.#unlink(node);
    this.#link(node);
  }

  /** Keeps a value in place of the one with its key. Returns undefined for a value that is larger than the whole bound. */
  set(key: string, value: unknown, mustCopy: boolean, weight: number, info: EntryInfo): MemoryNode | undefined {
    const old = this.#nodes.get(key);
    if (old !== undefined) this.#remove(old);
    if (weight > this.#maxBytes) return undefined;
    const node = new MemoryNode(key, value, mustCopy, weight, info);
    this.#nodes.set(key, node);
    this.#bytes += node.weight;
    this.#link(node);
    this.#shrink();
    return node;
  }

  /** Lets a wrapped function find the node by its memo. The memo drops the node when memory does. */
  remember(node: MemoryNode, memo: Map<string, MemoryNode>, memoKey: string): void {
    if (this.#nodes.get(node.key) !== node || (node.memo === memo && node.memoKey === memoKey)) return;
    this.#dropMemo(node);
    if (node.weight + memoKey.length > this.#maxBytes) return;
    node.memo = memo;
    node.memoKey = memoKey;
    node.weight += memoKey.length;
    this.#bytes += memoKey.length;
    node.keyHash = undefined;
    memo.set(memoKey, node);
    this.#shrink();
  }

  delete(key: string): void {
    const node = this.#nodes.get(key);
    if (node !== undefined) this.#remove(node);
  }

  /** Deletes the nodes whose key has the prefix; `""` deletes all. */
  clear(prefix: string): void {
    for (const node of this.#nodes.values()) {
      if (node.key.startsWith(prefix)) this.#remove(node);
    }
  }

  #remove(node: MemoryNode): void {
    this.#nodes.delete(node.key);
    this.#dropMemo(node);
    this.#bytes -= node.weight;
    this.#unlink(node);
  }

  #shrink(): void {
    while (this.#nodes.size > this.#maxEntries || this.#bytes > this.#maxBytes) {
      const last = this.#oldest as MemoryNode;
      this.#remove(last);
      this.#onEvict(last);
    }
  }

  #dropMemo(node: MemoryNode): void {
    if (node.memo === undefined) return;
    if (node.memo.get(node.memoKey) === node) node.memo.delete(node.memoKey);
    node.memo = undefined;
    node.weight -= node.memoKey.length;
    this.#bytes -= node.memoKey.length;
  }

  #link(node: MemoryNode): void {
    node.older = this.#newest;
    node.newer = undefined;
    if (this.#newest === undefined) this.#oldest = node;
    else this.#newest.newer = node;
    this.#newest = node;
  }

  #unlink(node: MemoryNode): void {
    if (node.newer === undefined) this.#newest = node.older;
    else node.newer.older = node.older;
    if (node.older === undefined) this.#oldest = node.newer;
    else node.older.newer = node.newer;
  }
}
