/** The parts of a body, one after the other. */
import { isBrowser } from "../base/runtime.js";
import { readChunk, type BegunStream } from "./first-part.js";

export interface Part {
  body: Uint8Array | Blob;
  /** Bytes of the body. */
  size: number;
  /** Called once the body is no longer needed. */
  release(): void;
}

/** Parts of a body. All but the last have the same size, as R2 wants them. */
export interface PartSource {
  /** Resolves to the next part; undefined at the end. */
  next(): Promise<Part | undefined>;
  cancel(reason: unknown): void;
}

export function partsOfBytes(body: Uint8Array | Blob, size: number, partSize: number): PartSource {
  let offset = 0;
  return {
    async next() {
      if (offset >= size) return undefined;
      const start = offset;
      offset = Math.min(offset + partSize, size);
      const part = body instanceof Uint8Array ? body.subarray(start, offset) : body.slice(start, offset);
      return { body: part, size: offset - start, release() {} };
    },
    cancel() {},
  };
}

export function partsOfStream(begun: BegunStream, partSize: number): PartSource {
  return new StreamParts(begun, partSize);
}

/** Parts of a stream. Buffers that have been sent are filled again, so that a long stream makes no garbage. */
class StreamParts implements PartSource {
  readonly #partSize: number;
  readonly #reader: BegunStream["reader"];
  readonly #freeBuffers: Uint8Array[] = [];
  #first: Uint8Array | undefined;
  /** Bytes that were read and belong to the next part. */
  #rest: Uint8Array | undefined;
  #ended = false;
  #cancelled = false;

  constructor({ reader, first, rest }: BegunStream, partSize: number) {
    this.#partSize = partSize;
    this.#reader = reader;
    this.#first = first;
    this.#rest = rest;
  }

  async next(): Promise<Part | undefined> {
    if (this.#first !== undefined) {
      const body = this.#first;
      this.#first = undefined;
      return { body, size: body.byteLength, release: () => void this.#freeBuffers.push(body) };
    }
    if (this.#ended) return undefined;
    const buffer = this.#freeBuffers.pop() ?? new Uint8Array(this.#partSize);
    const size = await this.#fill(buffer);
    if (size === 0) return undefined;
    const body = buffer.subarray(0, size);
    if (!isBrowser()) return { body, size, release: () => void this.#freeBuffers.push(buffer) };
    // A Blob hands the bytes to the browser, so that the buffer is free at once.
    this.#freeBuffers.push(buffer);
    return { body: new Blob([body as Uint8Array<ArrayBuffer>]), size, release() {} };
  }

  cancel(reason: unknown): void {
    if (this.#cancelled) return;
    this.#cancelled = true;
    void this.#reader.cancel(reason).catch(() => {});
  }

  /** Fills a buffer, or reads to the end of the stream. Returns the number of bytes. */
  async #fill(buffer: Uint8Array): Promise<number> {
    let size = 0;
    while (size < buffer.byteLength) {
      const chunk = this.#rest ?? (await readChunk(this.#reader));
      this.#rest = undefined;
      if (chunk === undefined) {
        this.#ended = true;
        break;
      }
      const fitting = chunk.subarray(0, buffer.byteLength - size);
      buffer.set(fitting, size);
      size += fitting.byteLength;
      if (fitting.byteLength < chunk.byteLength) this.#rest = chunk.subarray(fitting.byteLength);
    }
    return size;
  }
}
