import { BucketCacheError } from "../errors.js";

/** The level of compression, the same in every implementation that takes one. */
export const LEVEL = 6;

/** How many members gzip may have: our own entries are one, other programs may write several. */
export type Members = "one" | "any";

/** The reason why an entry of our own is damaged that has more than one member. */
export const SECOND_MEMBER = "a second member follows its end";

/** The error of a whole value that is not sound gzip. */
export function damage(reason: string, cause?: unknown): Error {
  return new Error(`damaged gzip data: ${reason}`, { cause });
}

/** The error of a stream that is not sound gzip. */
export function streamDamage(cause: unknown): BucketCacheError {
  const reason = cause instanceof Error ? cause.message.replace(/^damaged gzip data: /, "") : String(cause);
  return new BucketCacheError("ERR_DAMAGED", `damaged gzip data: ${reason}; write the entry again`, { cause });
}
