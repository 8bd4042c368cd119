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

/** An entry in memory: a link of the recency list, and the end of the memo that a wrapped function keeps. */
export interface MemoryNode extends EntryInfo {
  readonly key: string;
  value: unknown;
  /** Bytes of the decoded body and of the keys, for `maxBytes`. */
  weight: number;
  /** `expiresAt` in milliseconds, `Infinity` for never: what a hit compares. */
  deadline: number;
  /** When the store last confirmed it, in milliseconds. */
  checkedAt: number;
  /** The memo of the wrapped function that owns this result, and the key in it. */
  memo: Map<string, MemoryNode> | undefined;
  memoKey: string;
  /** The schema that this value is known to fit. */
  validFor: StandardSchemaV1 | undefined;
  /** Every caller gets a copy of its own. */
  copied: boolean;
  newer: MemoryNode | undefined;
  older: MemoryNode | undefined;
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
  set(
    key: string,
    value: unknown,
    copied: boolean,
    weight: number,
    info: EntryInfo,
    checkedAt: number,
  ): MemoryNode | undefined {
    const old = this.#nodes.get(key);
    if (old !== undefined) this.#remove(old);
    if (weight > this.#maxBytes) return undefined;
    const node: MemoryNode = {
      key,
      value,
      weight,
      deadline: info.expiresAt === undefined ? Infinity : info.expiresAt * 1000,
      checkedAt,
      createdAt: info.createdAt,
      expiresAt: info.expiresAt,
      size: info.size,
      etag: info.etag,
      lastModified: info.lastModified,
      contentType: info.contentType,
      keyHash: info.keyHash,
      memo: undefined,
      memoKey: "",
      validFor: undefined,
      copied,
      newer: undefined,
      older: undefined,
    };
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
