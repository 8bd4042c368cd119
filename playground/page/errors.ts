/** Trouble in words. */
import { isBucketCacheError } from "bucketcache";

export function explain(error: unknown): string {
  if (isBucketCacheError(error)) return `${error.code}: ${error.message}`;
  return error instanceof Error ? error.message : String(error);
}

/** Shows trouble in the place that is kept for it, or clears it. */
export function showFailure(place: HTMLElement, error: unknown): void {
  place.hidden = error === undefined;
  place.textContent = error === undefined ? "" : explain(error);
}
