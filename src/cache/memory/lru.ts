import type { StandardSchemaV1 } from "@standard-schema/spec";

/** What is known of an entry besides its value, wherever it came from. */
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
  /** The `key` of the entry (wire format, section 2), for function results. */
  keyHash: string | undefined;
}

/**
 * Instants in memory count from here, in milliseconds: so they are small whole numbers, which V8 keeps in the object
 * itself. Others take 16 bytes more each, and of a small entry most is what is kept beside its value.
 */
let epoch = 0;

// Rounding comes last: it gives a small number where a difference of large ones stays large in kind.
const compact = (seconds: number | undefined): number | undefined =>
  seconds === undefined ? undefined : Math.round(seconds * 1000 - epoch);

const seconds = (instant: number | undefined): number | undefined =>
  instant === undefined ? undefined : (instant + epoch) / 1000;

/** An entry in memory: a link of the recency list, and the end of the memo that a wrapped function keeps. */
export class MemoryNode implements EntryInfo {
  declare readonly key: string;
  declare readonly value: unknown;
  /** Every caller gets a copy of its own. */
  declare readonly copied: boolean;
  /** Bytes of the decoded body and of the keys, for `maxBytes`. */
  declare weight: number;
  declare readonly size: number;
  declare readonly etag: string;
  declare readonly contentType: string;
  /** Given up for the memo, which proves the same, and is there anyway. */
  declare keyHash: string | undefined;
  /** The memo of the wrapped function that owns this result, and the key in it. */
  declare memo: Map<string, MemoryNode> | undefined;
  declare memoKey: string;
  /** The schema that this value is known to fit. */
  declare validFor: StandardSchemaV1 | undefined;
  declare newer: MemoryNode | undefined;
  declare older: MemoryNode | undefined;
  // Since the epoch.
  declare private readonly created: number | undefined;
  declare private readonly ends: number | undefined;
  declare private readonly modified: number | undefined;
  declare private checked: number;

  constructor(key: string, value: unknown, copied: boolean, weight: number, info: EntryInfo) {
    epoch ||= Date.now();
    this.key = key;
    this.value = value;
    this.copied = copied;
    this.weight = weight;
    this.size = info.size;
    this.etag = info.etag;
    this.contentType = info.contentType;
    this.keyHash = info.keyHash;
    this.created = compact(info.createdAt);
    this.ends = compact(info.expiresAt);
    this.modified = compact(+(info.lastModified ?? NaN) / 1000 || undefined);
    this.checked = Math.round(Date.now() - epoch);
    this.memo = this.validFor = this.newer = this.older = undefined;
    this.memoKey = "";
  }

  /** A node is what was found, too. */
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

  /** `expiresAt` in milliseconds, `Infinity` for never: what a hit compares. */
  get deadline(): number {
    return this.ends === undefined ? Infinity : this.ends + epoch;
  }

  /** Whether the store confirmed it so lately. */
  isFresh(milliseconds: number): boolean {
    return Date.now() - (this.checked + epoch) < milliseconds;
  }

  /** The store has just confirmed it. */
  confirm(): void {
    this.checked = Math.round(Date.now() - epoch);
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

  /** Counts as a use. */
  touch(node: MemoryNode): void {
    if (node === this.#newest) return;
    this.#unlink(node);
    this.#link(node);
  }

  /** Keeps a value, in place of one with its key; one that is larger than the whole bound is not kept. */
  set(key: string, value: unknown, copied: boolean, weight: number, info: EntryInfo): MemoryNode | undefined {
    const old = this.#nodes.get(key);
    if (old !== undefined) this.#remove(old);
    if (weight > this.#maxBytes) return undefined;
    const node = new MemoryNode(key, value, copied, weight, info);
    this.#nodes.set(key, node);
    this.#bytes += node.weight;
    this.#link(node);
    this.#shrink();
    return node;
  }

  /** Lets a wrapped function find the node by its own memo; the memo forgets it when memory does. */
  remember(node: MemoryNode, memo: Map<string, MemoryNode>, memoKey: string): void {
    if (this.#nodes.get(node.key) !== node || (node.memo === memo && node.memoKey === memoKey)) return;
    this.#forget(node);
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

  /** Deletes what has the prefix; `""` is everything. */
  clear(prefix: string): void {
    for (const node of this.#nodes.values()) {
      if (node.key.startsWith(prefix)) this.#remove(node);
    }
  }

  #remove(node: MemoryNode): void {
    this.#nodes.delete(node.key);
    this.#forget(node);
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

  #forget(node: MemoryNode): void {
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
