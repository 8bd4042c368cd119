/** Lists of several pages, whoever lists a page: this side, or a presign handler. */
import type { ListedObject } from "../types.js";
import { failure } from "./failure.js";

export interface ListPage {
  objects: ListedObject[];
  /** Undefined on the last page. */
  cursor: string | undefined;
}

/**
 * Yields the objects of all pages. A page that only repeats the one before is skipped: some stores name a token that leads
 * to the same page again before they go on in another way.
 *
 * @throws BucketCacheError `ERR_PROTOCOL` for a list that comes back to where it was
 */
export async function* eachListed(
  store: string,
  readPage: (cursor: string | undefined) => Promise<ListPage>,
): AsyncGenerator<ListedObject, void, undefined> {
  const cursors = new Set<string | undefined>();
  let previous = new Set<string>();
  let cursor: string | undefined;
  do {
    if (cursors.has(cursor)) throw failure("ERR_PROTOCOL", `${store} lists the same page again and again`, { store });
    cursors.add(cursor);
    const page = await readPage(cursor);
    const isRepeated = page.objects.length > 0 && page.objects.every(({ key }) => previous.has(key));
    if (!isRepeated) yield* page.objects;
    previous = new Set(page.objects.map(({ key }) => key));
    cursor = page.cursor;
  } while (cursor !== undefined);
}
