/** Distances, neighbourhoods and networks of points on the globe. */

const EARTH_RADIUS_KM = 6371.0088;

/**
 * Points on the unit sphere: differences of coordinates give distances without trigonometry, also across the date line.
 *
 * @typedef {{ x: Float64Array, y: Float64Array, z: Float64Array }} Sphere
 * @param {readonly { lat: number, lng: number }[]} points
 * @returns {Sphere}
 */
export function onSphere(points) {
  const sphere = {
    x: new Float64Array(points.length),
    y: new Float64Array(points.length),
    z: new Float64Array(points.length),
  };
  points.forEach(({ lat, lng }, i) => {
    const phi = (lat * Math.PI) / 180;
    const lambda = (lng * Math.PI) / 180;
    sphere.x[i] = Math.cos(phi) * Math.cos(lambda);
    sphere.y[i] = Math.cos(phi) * Math.sin(lambda);
    sphere.z[i] = Math.sin(phi);
  });
  return sphere;
}

/**
 * The squared length of the straight line through the unit sphere from point `i` of one set to point `j` of another.
 *
 * @param {Sphere} a
 * @param {number} i
 * @param {Sphere} b
 * @param {number} j
 */
export function squared(a, i, b, j) {
  const dx = a.x[i] - b.x[j];
  const dy = a.y[i] - b.y[j];
  const dz = a.z[i] - b.z[j];
  return dx * dx + dy * dy + dz * dz;
}

/** @param {number} squaredChord of the unit sphere */
export function toKm(squaredChord) {
  return 2 * EARTH_RADIUS_KM * Math.asin(Math.min(1, Math.sqrt(squaredChord) / 2));
}

/** @param {number} km */
export function chord(km) {
  return 2 * Math.sin(km / EARTH_RADIUS_KM / 2);
}

/** @param {number} radiusKm of a circle on the sphere */
export function circleKm2(radiusKm) {
  return 2 * Math.PI * EARTH_RADIUS_KM ** 2 * (1 - Math.cos(radiusKm / EARTH_RADIUS_KM));
}

/**
 * Points by cubes of the given side: what is within one side of a point is in the 27 cubes around it.
 *
 * @param {Sphere} sphere
 * @param {number} side
 */
export function gridOf(sphere, side) {
  const span = Math.ceil(2 / side) + 3;
  const index = (/** @type {number} */ v) => Math.floor((v + 1) / side) + 1;
  const cellOf = (/** @type {number} */ i) =>
    (index(sphere.x[i]) * span + index(sphere.y[i])) * span + index(sphere.z[i]);
  /** @type {Map<number, number[]>} */
  const cells = new Map();
  for (let i = 0; i < sphere.x.length; i++) {
    const cell = cellOf(i);
    const members = cells.get(cell);
    if (members === undefined) cells.set(cell, [i]);
    else members.push(i);
  }
  return {
    /** @param {number} i */
    around(i) {
      const centre = cellOf(i);
      const found = [];
      for (const dx of [-1, 0, 1]) {
        for (const dy of [-1, 0, 1]) {
          for (const dz of [-1, 0, 1]) {
            const members = cells.get(centre + (dx * span + dy) * span + dz);
            if (members !== undefined) found.push(members);
          }
        }
      }
      return found;
    },
  };
}

/**
 * The minimum spanning tree, by Prim's algorithm.
 *
 * @param {Sphere} sphere
 */
export function shortestNetwork(sphere) {
  const size = sphere.x.length;
  const reach = new Float64Array(size).fill(Infinity);
  const link = new Int32Array(size);
  const joined = new Uint8Array(size);
  const roads = [];
  let current = 0;
  for (let step = 1; step < size; step++) {
    joined[current] = 1;
    let next = -1;
    for (let j = 0; j < size; j++) {
      if (joined[j] === 1) continue;
      const distance = squared(sphere, current, sphere, j);
      if (distance < reach[j]) {
        reach[j] = distance;
        link[j] = current;
      }
      if (next < 0 || reach[j] < reach[next]) next = j;
    }
    roads.push({ from: link[next], to: next, squared: reach[next] });
    current = next;
  }
  return roads;
}

/**
 * A tour from the first point on, each time to the nearest point not yet seen.
 *
 * @param {Sphere} sphere
 */
export function nearestNext(sphere) {
  const tour = Int32Array.from(sphere.x.keys());
  for (let step = 1; step < tour.length; step++) {
    let next = step;
    let nearest = Infinity;
    for (let k = step; k < tour.length; k++) {
      const distance = squared(sphere, tour[step - 1], sphere, tour[k]);
      if (distance < nearest) [nearest, next] = [distance, k];
    }
    [tour[step], tour[next]] = [tour[next], tour[step]];
  }
  return tour;
}
