/**
 * Places as columns of a JSON document, a third of the size of rows: how they travel to pages. Runs in Node and in
 * browsers.
 *
 * @typedef {import("../demo/places.mjs").Place} Place
 *
 * @typedef {object} Columns
 * @property {string[]} countries
 * @property {string[]} regions
 * @property {string[]} name
 * @property {number[]} country an index of countries
 * @property {number[]} region an index of regions
 * @property {number[]} lat 1e-5 degrees, as precise as the data
 * @property {number[]} lng
 */

const UNITS = 1e5;

/**
 * @param {readonly Place[]} places
 * @returns {Columns}
 */
export function toColumns(places) {
  const countries = dictionary();
  const regions = dictionary();
  return {
    name: places.map(({ name }) => name),
    country: places.map(({ country }) => countries.indexOf(country)),
    region: places.map(({ region }) => regions.indexOf(region)),
    lat: places.map(({ lat }) => Math.round(lat * UNITS)),
    lng: places.map(({ lng }) => Math.round(lng * UNITS)),
    countries: countries.words,
    regions: regions.words,
  };
}

/**
 * @param {Columns} columns
 * @returns {Place[]}
 */
export function fromColumns({ countries, regions, name, country, region, lat, lng }) {
  return name.map((text, i) => ({
    name: text,
    country: countries[country[i]],
    region: regions[region[i]],
    lat: lat[i] / UNITS,
    lng: lng[i] / UNITS,
  }));
}

function dictionary() {
  /** @type {Map<string, number>} */
  const known = new Map();
  /** @type {string[]} */
  const words = [];
  return {
    words,
    /** @param {string} word */
    indexOf(word) {
      let index = known.get(word);
      if (index === undefined) {
        index = words.push(word) - 1;
        known.set(word, index);
      }
      return index;
    },
  };
}
