/**
 * The same cache in a folder: no bucket, no server, no credentials. Run it twice: the second run computes nothing.
 *
 * Run it with: node examples/file-store.mjs
 */
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createCache } from "bucketcache";
import { fileStore } from "bucketcache/file";
import { loadPlaces } from "./demo/data.mjs";
import { countryReport } from "./demo/places.mjs";

const directory = join(tmpdir(), "bucketcache-example");
const cache = createCache({ store: fileStore({ directory }) });
const report = cache.wrap((/** @type {string} */ country) => countryReport(loadPlaces(), country), {
  name: "country-report",
  ttl: "10m",
});

const start = performance.now();
const { places, northernmost, middle, network } = await report("PT");
const ms = (performance.now() - start).toFixed(0);

console.log(
  `Portugal: ${places} places, ${northernmost.name} the northernmost, ${middle.name} in the middle, ` +
    `joined by ${network.km} km of roads.`,
);
console.log(`${cache.stats().calls === 0 ? "Read from" : "Computed, and stored in"} ${directory} in ${ms} ms.`);
await cache.close();
