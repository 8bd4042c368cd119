import { createCache } from "bucketcache";
import { presignedStore } from "bucketcache/presigned";

// The address of a presign handler: docs/browser.md
const cache = createCache({ store: presignedStore({ url: "/api/presign" }), ttl: "1d" });
const report = cache.wrap(async (month) => ({ month, rows: 3 }), { name: "report" });

document.querySelector("output").textContent = JSON.stringify(await report("2026-11"));
