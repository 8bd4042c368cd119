import { countryReport, densestRegions, neighbours, roundTrip } from "./places.mjs";

/**
 * The questions as cached functions: the same in the demo, and wherever else they are asked. The arguments make the
 * key, so they are small; the 170,000 places are not among them, and who only reads results never loads them.
 *
 * @param {import("bucketcache").Cache} cache
 * @param {() => readonly import("./places.mjs").Place[]} places called when something must be computed
 */
export function cachedQuestions(cache, places) {
  return {
    neighbours: cache.wrap(
      (/** @type {{ country: string, count: number }} */ question) => neighbours(places(), question),
      { name: "neighbours", ttl: "1d" },
    ),
    densestRegions: cache.wrap(
      (/** @type {{ radiusKm: number, count: number }} */ question) => densestRegions(places(), question),
      { name: "densest-regions", ttl: "1d" },
    ),
    countryReport: cache.wrap((/** @type {string} */ country) => countryReport(places(), country), {
      name: "country-report",
      ttl: "1d",
    }),
    roundTrip: cache.wrap((/** @type {string} */ country) => roundTrip(places(), country), {
      name: "round-trip",
      ttl: "1d",
    }),
  };
}

/** @typedef {keyof ReturnType<typeof cachedQuestions>} QuestionName */

export const DENSEST = { radiusKm: 75, count: 1_000 };

/**
 * Questions that the demo asks.
 *
 * @type {readonly { name: QuestionName, args: readonly unknown[], title: string }[]}
 */
export const DEMO_QUESTIONS = [
  { name: "neighbours", args: [{ country: "AT", count: 5 }], title: "The 5 nearest places to each place of Austria" },
  { name: "densestRegions", args: [DENSEST], title: "The 1,000 densest regions of the world" },
  { name: "countryReport", args: ["FR"], title: "A report on France, with its shortest network" },
  { name: "roundTrip", args: ["CH"], title: "A round trip through every place of Switzerland" },
];
