/**
 * A large table, made row by row when nobody has made it yet, and streamed from the cache ever after: compressed on
 * its way into the store, decompressed on its way out, and never whole in memory. With an S3 store it goes up in parts.
 *
 * Run it with: node examples/etl-stream.mjs [FILE]
 */
import { createWriteStream } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { createCache } from "bucketcache";
import { fileStore } from "bucketcache/file";
import { loadPlaces } from "./demo/data.mjs";
import { distanceTable } from "./demo/places.mjs";

const CAPITALS = ["Reykjavík, IS", "Nairobi, KE", "Lima, PE", "Wellington, NZ"];
const file = process.argv[2] ?? join(tmpdir(), "distances.csv");
const directory = join(tmpdir(), "bucketcache-example");
const cache = createCache({ store: fileStore({ directory }) });

const start = performance.now();
let made = false;
const table = await cache.getOrSetStream(
  "exports/distances.csv",
  () => {
    made = true;
    const places = loadPlaces();
    const capitals = places.filter(({ name, country }) => CAPITALS.includes(`${name}, ${country}`));
    return distanceTable(places, capitals);
  },
  { contentType: "text/csv", ttl: "10m" },
);
await pipeline(table, createWriteStream(file));

const seconds = ((performance.now() - start) / 1_000).toFixed(1);
console.log(`${file} written in ${seconds} s; the table was ${made ? "made" : "in the cache"}.`);
await cache.close();
