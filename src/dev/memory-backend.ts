import { randomId, type Backend, type BlobRef, type BlobReader, type BlobWriter } from "./storage.js";

/** Keeps bytes in memory; records live in the buckets anyway. */
export class MemoryBackend implements Backend {
  readonly #blobs = new Map<string, Buffer[]>();

  createBlob(): BlobWriter {
    const id = randomId();
    const chunks: Buffer[] = [];
    return {
      write: (chunk) => void chunks.push(chunk),
      finish: () => {
        this.#blobs.set(id, chunks);
        return id;
      },
      discard: () => void this.#blobs.delete(id),
    };
  }

  read(blobs: readonly BlobRef[], start: number, end: number): Buffer | BlobReader {
    const slices: Buffer[] = [];
    let at = 0;
    for (const { id } of blobs) {
      for (const chunk of this.#blobs.get(id) ?? []) {
        const from = Math.max(start - at, 0);
        const to = Math.min(end - at, chunk.length);
        if (from < to) slices.push(chunk.subarray(from, to));
        at += chunk.length;
      }
    }
    const [first] = slices;
    if (slices.length < 2) return first ?? Buffer.alloc(0);
    let index = 0;
    return { next: () => Promise.resolve(slices[index++]), close: () => {} };
  }

  removeBlobs(blobs: readonly BlobRef[]): void {
    for (const { id } of blobs) this.#blobs.delete(id);
  }

  saveBucket(): void {}
  removeBucket(): void {}
  saveObject(): void {}
  removeObject(): void {}
  saveUpload(): void {}
  savePart(): void {}
  removeUpload(): void {}

  close(): void {
    this.#blobs.clear();
  }
}
