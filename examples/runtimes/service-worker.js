import { createCache } from "bucketcache";
import { presignedStore } from "bucketcache/presigned";

const cache = createCache({ store: presignedStore({ url: "/api/presign" }), ttl: "1d" });

self.addEventListener("fetch", (event) => {
  const { pathname } = new URL(event.request.url);
  if (pathname.startsWith("/reports/")) event.respondWith(answer(event, pathname.slice(1)));
});

async function answer(event, key) {
  const hit = await cache.getResponse(key);
  if (hit !== undefined) return hit;
  const response = await fetch(event.request);
  if (response.ok) event.waitUntil(cache.set(key, response.clone()));
  return response;
}
