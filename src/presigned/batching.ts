/** Batches of requests for grants: requests of one tick go out together. */
import { MAX_BATCH, MAX_REQUEST_BYTES } from "./protocol.js";

/** A request whose caller waits for its result. */
export interface PendingRequest {
  key: string;
  /** The request as JSON. */
  json: string;
  resolve(result: never): void;
  reject(error: unknown): void;
}

/** Calls that were made together reach the queue up to this many microtasks apart, since some await more than others. */
const MICROTASKS_TO_GATHER = 32;

/** Batches under way at once. Requests that come meanwhile gather into the next batch. */
const MAX_BATCHES_IN_FLIGHT = 4;

/** Room for the JSON around the requests of a batch. */
const ENVELOPE_BYTES = 64;

export class RequestQueue {
  readonly #send: (batch: readonly PendingRequest[]) => Promise<void>;
  readonly #pending: PendingRequest[] = [];
  #scheduled = false;
  #inFlight = 0;
  /** Number of requests that the handler takes in one batch, as far as it has said. */
  #maxBatch = MAX_BATCH;

  /** @param send Sends one batch and settles its requests; must never reject. */
  constructor(send: (batch: readonly PendingRequest[]) => Promise<void>) {
    this.#send = send;
  }

  /** Adds a request to the next batch. */
  add(request: PendingRequest): void {
    this.#pending.push(request);
    this.#scheduleFlush();
  }

  /** Sends the requests of a batch again, before all others, in batches of at most `maxBatch`. */
  retrySmaller(batch: readonly PendingRequest[], maxBatch: number): void {
    this.#maxBatch = maxBatch;
    this.#pending.unshift(...batch);
    this.#scheduleFlush();
  }

  #scheduleFlush(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    afterMicrotasks(MICROTASKS_TO_GATHER, () => {
      this.#scheduled = false;
      this.#flush();
    });
  }

  #flush(): void {
    while (this.#pending.length > 0 && this.#inFlight < MAX_BATCHES_IN_FLIGHT) {
      this.#inFlight++;
      void this.#send(this.#pending.splice(0, this.#nextBatchLength())).finally(() => {
        this.#inFlight--;
        this.#flush();
      });
    }
  }

  /** Returns how many of the pending requests fit into one batch: always at least one. */
  #nextBatchLength(): number {
    const longest = Math.min(this.#pending.length, this.#maxBatch);
    let bytes = ENVELOPE_BYTES;
    for (let length = 0; length < longest; length++) {
      // A UTF-16 code unit takes at most three bytes of UTF-8.
      bytes += (this.#pending[length] as PendingRequest).json.length * 3 + 1;
      if (length > 0 && bytes > MAX_REQUEST_BYTES) return length;
    }
    return longest;
  }
}

/**
 * Runs `work` after a number of microtasks, and so before any timer or I/O. A timer would not do: those of pages in the
 * background fire once a second, or once a minute.
 */
function afterMicrotasks(count: number, work: () => void): void {
  queueMicrotask(count > 1 ? () => afterMicrotasks(count - 1, work) : work);
}
