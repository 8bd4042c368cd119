import { createCache } from "bucketcache";
import { s3Store } from "bucketcache/s3";
import { afterAll, beforeAll, expect, test } from "vitest";
import { devBucket, type Bucket } from "./support/handler.js";

let bucket: Bucket & { stop(): Promise<void> };
beforeAll(async () => {
  bucket = await devBucket();
});
afterAll(async () => bucket.stop());

/** Fetches as a page does where the CORS rule does not expose `Content-Range`. */
async function fetchInPage(input: string, init: RequestInit): Promise<Response> {
  const { status, body, headers } = await fetch(input, init);
  const shown = new Headers(headers);
  shown.delete("content-range");
  return new Response(body, { status, headers: shown });
}

test("a part of an object tells the size of the whole, also where CORS hides the range", async () => {
  const cache = createCache({ store: s3Store({ ...bucket, fetch: fetchInPage }) });
  await cache.set("k", new Blob(["0123456789"]), { compress: false });
  const response = await cache.getResponse("k", { range: { offset: 2, length: 3 } });
  expect(response?.headers.get("content-range")).toBe("bytes 2-4/10");
  expect(response?.headers.get("content-length")).toBe("3");
  expect(await response?.text()).toBe("234");
  const rest = await cache.getResponse("k", { range: { offset: 7 } });
  expect(rest?.headers.get("content-range")).toBe("bytes 7-9/10");
  expect(await rest?.text()).toBe("789");
});
