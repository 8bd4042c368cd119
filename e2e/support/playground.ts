/** The playground as `npm start` serves it, on MinIO. */
import type { Locator, Page } from "playwright";
import { afterAll, afterEach, beforeAll, expect } from "vitest";
import { createCache, type Cache } from "bucketcache";
import { s3Store } from "bucketcache/s3";
import { PREFIX } from "../../examples/demo/bucket.mjs";
import { startPlayground } from "../../examples/playground/server.mjs";
import { makeBucket, type TestBucket } from "../../test/support/bucket.js";

export interface Playground {
  url: string;
  bucket: TestBucket;
  /** The same entries by Node, with credentials. */
  cache: Cache;
}

/** One playground for the tests of a file. Each test finds no entries. */
export function playground(): Playground {
  const place = {} as Playground;
  let close = async () => {};
  beforeAll(async () => {
    place.bucket = await makeBucket();
    const served = await startPlayground({ bucket: place.bucket.options });
    close = () => served.close();
    place.url = served.url;
    place.cache = createCache({ store: s3Store(place.bucket.options), prefix: PREFIX, memory: false });
  });
  afterEach(async () => place.cache.clear({ all: true }));
  afterAll(async () => {
    await close();
    await place.cache?.close();
    await place.bucket?.remove();
  });
  return place;
}

/** Waits until the page works, and notes what it complains about; call the result at the end. */
export async function ready(page: Page): Promise<void> {
  await page.locator("html[data-ready]").waitFor();
}

/** Collects what a page writes to its console as a warning or an error, and errors that nobody caught. */
export function complaints(page: Page): string[] {
  const seen: string[] = [];
  page.on("console", (message) => {
    if (message.type() === "error" || message.type() === "warning") seen.push(message.text());
  });
  page.on("pageerror", (error) => seen.push(String(error)));
  return seen;
}

/** Waits for a text as people would. */
export async function says(place: Locator, text: RegExp | string): Promise<void> {
  await expect.poll(async () => (await place.textContent()) ?? "").toMatch(text);
}
