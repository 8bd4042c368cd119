import { createHash, type Hash } from "node:crypto";
import { S3Error } from "./errors.js";
import type { ChunkSigner } from "./request.js";

const MAX_LINE = 4096;
const MAX_TRAILER = 8192;
const MIN_CHUNK = 8192;

/**
 * Takes the framing of `aws-chunked` off a body, as it flows. Chunk signatures and the signature of the trailer are
 * verified when the body is signed; nothing of a body may be kept before `finish` has returned.
 */
export class ChunkedDecoder {
  readonly #signer: ChunkSigner | undefined;
  #state: "size" | "data" | "after-data" | "trailer" | "done" = "size";
  #line = "";
  #remaining = 0;
  #previousSize = MIN_CHUNK;
  #number = 0;
  #signature = "";
  #hash: Hash | undefined;
  #trailerBytes = 0;
  readonly #trailers = new Map<string, string>();

  constructor(signer: ChunkSigner | undefined) {
    this.#signer = signer;
  }

  /** Returns the payload within a piece of the framed body. */
  decode(piece: Buffer): Buffer[] {
    const payload: Buffer[] = [];
    let at = 0;
    while (at < piece.length) {
      if (this.#state === "data") {
        const bytes = piece.subarray(at, at + this.#remaining);
        at += bytes.length;
        this.#remaining -= bytes.length;
        this.#hash?.update(bytes);
        payload.push(bytes);
        if (this.#remaining === 0) {
          this.#endChunk();
          this.#state = "after-data";
        }
      } else if (this.#state === "done") {
        throw new S3Error("IncompleteBody", "The request body holds data after its last chunk");
      } else {
        const newline = piece.indexOf(10, at);
        const end = newline < 0 ? piece.length : newline + 1;
        this.#line += piece.toString("latin1", at, end);
        at = end;
        if (this.#line.length > MAX_LINE) throw new S3Error("IncompleteBody", "A chunk's header line is too long");
        if (newline >= 0) {
          const line = this.#line.replace(/\r?\n$/, "");
          this.#line = "";
          this.#takeLine(line);
        }
      }
    }
    return payload;
  }

  /** Returns the trailing headers, once the whole body is here. */
  finish(): ReadonlyMap<string, string> {
    // Some clients end the body right after the last header of the trailer, without the empty line.
    if (this.#state === "trailer" && this.#line === "") this.#endTrailer();
    if (this.#state !== "done") throw new S3Error("IncompleteBody");
    return this.#trailers;
  }

  #takeLine(line: string): void {
    if (this.#state === "after-data") {
      if (line !== "") throw new S3Error("IncompleteBody", "A chunk is longer than its header says");
      this.#state = "size";
    } else if (this.#state === "size") {
      this.#startChunk(line);
    } else if (line === "") {
      this.#endTrailer();
    } else {
      this.#trailerBytes += line.length;
      const colon = line.indexOf(":");
      if (colon <= 0 || this.#trailerBytes > MAX_TRAILER) throw new S3Error("MalformedTrailerError");
      this.#trailers.set(line.slice(0, colon).trim().toLowerCase(), line.slice(colon + 1).trim());
    }
  }

  #startChunk(line: string): void {
    const match = /^([0-9a-f]{1,12})(?:;chunk-signature=([0-9a-f]{64}))?$/i.exec(line);
    if (match === null) throw new S3Error("IncompleteBody", "A chunk's header line is malformed");
    const size = Number.parseInt(match[1] ?? "", 16);
    this.#number += 1;
    if (size > 0 && this.#previousSize < MIN_CHUNK) {
      throw new S3Error("InvalidChunkSizeError", undefined, {
        Chunk: this.#number,
        BadChunkSize: this.#previousSize,
      });
    }
    this.#previousSize = size;
    this.#remaining = size;
    this.#signature = match[2] ?? "";
    if (this.#signer !== undefined) this.#hash = createHash("sha256");
    this.#state = "data";
    if (size === 0) {
      this.#endChunk();
      this.#state = "trailer";
    }
  }

  #endChunk(): void {
    if (this.#hash === undefined || this.#signer === undefined) return;
    if (!this.#signer.verifyChunk(this.#signature, this.#hash.digest("hex")))
      throw new S3Error("SignatureDoesNotMatch");
  }

  #endTrailer(): void {
    this.#state = "done";
    const signature = this.#trailers.get("x-amz-trailer-signature");
    this.#trailers.delete("x-amz-trailer-signature");
    if (this.#signer === undefined || (this.#trailers.size === 0 && signature === undefined)) return;
    const canonical = [...this.#trailers].map(([name, value]) => `${name}:${value}\n`).join("");
    const hash = createHash("sha256").update(canonical, "latin1").digest("hex");
    if (!this.#signer.verifyTrailer(signature ?? "", hash)) throw new S3Error("SignatureDoesNotMatch");
  }
}
