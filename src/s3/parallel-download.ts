/**
 * Reads a large body by several requests at once, since one alone brings only 50 to 100 MB/s from S3. Loaded with the first
 * such body.
 */
import type { Bytes } from "../types.js";
import type { Download } from "./download.js";

/** Requests at once, beside the first one. */
const HELPERS = 3;

/** A connection that brings this many bytes in one interval is three times as fast as S3's, and needs no helpers. */
const FAST_BYTES = 8 << 20;
const INTERVAL_MS = 50;

/**
 * Reads all bytes in one piece. The first answer is read from the front and, unless that is fast, ranges are read from the
 * back, until they meet: the faster they are, the more comes by ranges. The first answer also brings the bytes of any
 * range that fails.
 */
export async function readInParallel(front: Download, size: number, rangeBytes: number): Promise<Bytes> {
  const read = new ParallelRead(front, size, rangeBytes);
  let helpers: Promise<void>[] = [];
  const stopWatching = whenSlow(front, () => {
    helpers = Array.from({ length: HELPERS }, () => read.readBack());
  });
  try {
    await read.readFront().finally(stopWatching);
    await Promise.all(helpers);
    await read.readMissing();
    return read.target;
  } catch (error) {
    read.cancel();
    throw error;
  }
}

/** Calls back once the download turns out to be slow. Returns a function that stops watching it. */
function whenSlow(download: Download, onSlow: () => void): () => void {
  let timer: unknown;
  const watch = (receivedBefore: number): void => {
    timer = setTimeout(() => {
      if (download.receivedBytes - receivedBefore >= FAST_BYTES) watch(download.receivedBytes);
      else onSlow();
    }, INTERVAL_MS);
  };
  watch(0);
  return () => clearTimeout(timer as number);
}

class ParallelRead {
  readonly target: Bytes;
  readonly #front: Download;
  readonly #size: number;
  readonly #rangeBytes: number;
  readonly #ranges = new Set<Download>();
  /** The bytes from here on are left to ranges. */
  #backStart: number;
  /** End of the last range that failed; 0 while none has. The front reads up to here. */
  #failedEnd = 0;
  #cancelled = false;

  constructor(front: Download, size: number, rangeBytes: number) {
    this.#front = front;
    this.#size = size;
    this.#rangeBytes = rangeBytes;
    this.#backStart = size;
    this.target = new Uint8Array(size);
  }

  /** Reads from the front until it meets the ranges. */
  async readFront(): Promise<void> {
    for (;;) {
      const offset = this.#front.receivedBytes;
      if (offset < this.#size && offset >= Math.max(this.#backStart, this.#failedEnd)) return this.#front.pause();
      const chunk = await this.#front.read();
      if (chunk === undefined) return;
      this.target.set(chunk, offset);
    }
  }

  /** Reads ranges from the back until they meet the front, or one fails. Never rejects. */
  async readBack(): Promise<void> {
    while (!this.#cancelled && this.#failedEnd === 0 && this.#gapBytes() > 2 * this.#rangeBytes) {
      const end = this.#backStart;
      this.#backStart -= this.#rangeBytes;
      try {
        await this.#readRange(this.#backStart);
      } catch {
        this.#failedEnd = Math.max(this.#failedEnd, end);
      }
    }
  }

  /** Reads the bytes of ranges that failed after the front had met them. */
  async readMissing(): Promise<void> {
    if (this.#front.receivedBytes >= this.#failedEnd) return;
    await this.#front.reopen();
    await this.readFront();
  }

  cancel(): void {
    this.#cancelled = true;
    this.#front.cancel();
    for (const range of this.#ranges) range.cancel();
  }

  /** Returns the number of bytes that nobody reads yet. */
  #gapBytes(): number {
    return this.#backStart - this.#front.receivedBytes;
  }

  async #readRange(start: number): Promise<void> {
    const range = await this.#front.openRange(start, this.#rangeBytes);
    this.#ranges.add(range);
    if (this.#cancelled) range.cancel();
    await range.drain((chunk, offset) => this.target.set(chunk, start + offset));
    this.#ranges.delete(range);
  }
}
