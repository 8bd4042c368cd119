/**
 * The features that a store turned out to lack. They are learned from its answers, once for each store object, and told to the caches on it by `ObjectStore.limitations`.
 */
import type { BucketCacheError } from "../errors.js";
import { failure } from "./failure.js";

/**
 * How the condition of a write is put: with the ETag as it is, with the ETag without its quotes, or, where the store
 * takes neither, by a HEAD before the write.
 */
export type ConditionForm = "quoted" | "unquoted" | "checked";

/** A condition and the method that carries it: stores know some of them and not the others. */
export type ConditionUse = `${"If-Match" | "If-None-Match"} on ${"PUT" | "DELETE"}`;

/** Digest by which a store knows that a batch of deletions arrived whole; `"none"` where the store knows no batches. */
export type BatchDigest = "sha256" | "md5" | "none";

export class Capabilities {
  batchDigest: BatchDigest = "sha256";
  /** Whether an answer has shown that the bucket exists and takes our signatures. */
  isBucketSeen = false;
  /** Whether lists go on after the last key of a page, since the tokens of the store lead nowhere. */
  listsByKey = false;
  /** Whether a GET may override headers of its answer; undefined while no answer has shown it. */
  overridesHeaders: boolean | undefined;
  /** Conditions that have held in their form: a 412 to another one is then a conflict, and no lack of the store. */
  readonly proven = new Set<ConditionUse>();
  readonly #store: string;
  readonly #limitations: BucketCacheError[];
  readonly #forms = new Map<ConditionUse, ConditionForm>();
  readonly #reported = new Set<string>();

  /** @param limitations Receives one error for each limitation. */
  constructor(store: string, limitations: BucketCacheError[]) {
    this.#store = store;
    this.#limitations = limitations;
  }

  formOf(use: ConditionUse): ConditionForm {
    return this.#forms.get(use) ?? "quoted";
  }

  setForm(use: ConditionUse, form: ConditionForm): void {
    this.#forms.set(use, form);
  }

  learnOverrides(works: boolean): void {
    this.overridesHeaders = works;
    if (!works) this.report("refuses to override headers of an answer: objects are read as they are");
  }

  /** Keeps a limitation for the caches, once. The message goes on after the name of the store. */
  report(message: string): void {
    if (this.#reported.has(message)) return;
    this.#reported.add(message);
    this.#limitations.push(failure("ERR_UNSUPPORTED", `${this.#store} ${message}`, { store: this.#store }));
  }
}
