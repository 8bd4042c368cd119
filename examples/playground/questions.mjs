/**
 * Questions that the playground allows, in the page and on the server: their arguments take seconds, not minutes. The
 * module runs in Node and in browsers.
 *
 * @typedef {import("../demo/questions.mjs").QuestionName} QuestionName
 */

/** The largest countries that each question takes: the time grows with the places, or with their square. */
export const MOST_PLACES = { neighbours: 3_100, countryReport: 9_000, roundTrip: 1_600, densestRegions: 0 };

/** @type {readonly number[]} */
export const RADII_KM = [50, 75, 100, 150];

/**
 * Why these arguments may not be asked, or undefined when they may.
 *
 * @param {string} name
 * @param {unknown} args
 * @param {Record<string, number>} countries how many places each has
 * @returns {string | undefined}
 */
export function objectionTo(name, args, countries) {
  if (!Object.hasOwn(MOST_PLACES, name)) return "There is no such question.";
  const [argument, ...others] = Array.isArray(args) ? args : [];
  if (others.length > 0) return "A question has one argument.";
  if (name === "densestRegions") {
    const { radiusKm, count, ...rest } = Object(argument);
    const valid = RADII_KM.includes(radiusKm) && count === 1_000 && Object.keys(rest).length === 0;
    return valid ? undefined : "The radius is not one of those offered.";
  }
  let country = argument;
  if (name === "neighbours") {
    const { country: named, count, ...rest } = Object(argument);
    if (count !== 5 || Object.keys(rest).length > 0) return "Five neighbours are what is offered.";
    country = named;
  }
  if (typeof country !== "string" || !Object.hasOwn(countries, country)) return "There is no such country.";
  const limit = MOST_PLACES[/** @type {QuestionName} */ (name)];
  return countries[country] <= limit ? undefined : `At most ${limit} places: this would take minutes.`;
}
