import type { ListedObject } from "bucketcache";

/** What is shown of an entry: the listing, and what its metadata tell. */
export interface Shown extends ListedObject {
  contentType: string;
  /** Unix seconds; undefined: never. */
  expiresAt: number | undefined;
  isCompressed: boolean;
}
