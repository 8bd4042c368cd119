import type { StoreTime } from "../base/clock.js";

/**
 * - `fresh`: may be handed out.
 * - `due`: a copy in memory that the store must confirm first.
 * - `stale`: past its end. Not handed out, but its object is kept yet.
 * - `ended`: past its end and its grace, so its object may be deleted.
 */
export type LifetimeState = "fresh" | "due" | "stale" | "ended";

/** The instants that a lifetime depends on. */
export interface Lifespan {
  /** Unix milliseconds in the store's time; `Infinity` for never. */
  readonly endsAtMs: number;
  /** Unix milliseconds in local time, when the store last said that the entry is what it has. */
  readonly confirmedAtMs: number;
}

/** The rules that a lifetime is judged by. */
export interface LifetimePolicy {
  /** Age from which a copy in memory must be confirmed; `Infinity` for never. */
  readonly revalidateAfterMs: number;
  /** Time between the end of an entry and the deletion of its object; `Infinity` where objects are not deleted. */
  readonly deleteGraceMs: number;
}

/**
 * Tells how far an entry is in its life. Nothing else in the cache compares the end or the age of an entry.
 *
 * This runs in each hit of a wrapped function: it allocates nothing, and reads a clock only where an end or a
 * revalidation asks for it.
 */
export function stateOf(entry: Lifespan, clock: Pick<StoreTime, "now">, policy: LifetimePolicy): LifetimeState {
  const { endsAtMs } = entry;
  if (endsAtMs !== Infinity) {
    const now = clock.now();
    if (now >= endsAtMs) return now >= endsAtMs + policy.deleteGraceMs ? "ended" : "stale";
  }
  const { revalidateAfterMs } = policy;
  if (revalidateAfterMs !== Infinity && Date.now() - entry.confirmedAtMs >= revalidateAfterMs) return "due";
  return "fresh";
}

/** Tells whether a state means that the entry is past its end. */
export function isPastEnd(state: string): boolean {
  return state === "stale" || state === "ended";
}

/** Tells whether a read may open an entry in this state. None past its end is opened, since none is served. */
export function isReadable(state: string): boolean {
  return state === "fresh" || state === "due";
}

/** Returns the lifespan of an object that the store has just answered with; `expiresAt` is in Unix seconds. */
export function lifespanOf(expiresAt: number | undefined): Lifespan {
  // Rounded, so that seconds with a fraction become the milliseconds that were written.
  return { endsAtMs: expiresAt === undefined ? Infinity : Math.round(expiresAt * 1000), confirmedAtMs: Infinity };
}
