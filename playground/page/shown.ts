import type { ListedObject } from "bucketcache";

/** An entry as the page shows it: its line of the listing, and facts from its metadata. */
export interface Shown extends ListedObject {
  contentType: string;
  /** Unix seconds; undefined: never. */
  expiresAt: number | undefined;
  isCompressed: boolean;
}
