import fc from "fast-check";
import { describe, expect, it } from "vitest";
import * as places from "../examples/demo/places.mjs";
import * as table from "../examples/demo/table.mjs";
import { openScreen } from "../examples/demo/screen.mjs";

const placeAt = (name: string, lat: number, lng: number, country = "XX", region = "") => ({
  name,
  lat,
  lng,
  country,
  region,
});

const BERLIN = placeAt("Berlin", 52.52437, 13.41053, "DE");
const PARIS = placeAt("Paris", 48.85341, 2.3488, "FR");
const LYON = placeAt("Lyon", 45.74846, 4.84671, "FR");
const SYDNEY = placeAt("Sydney", -33.86785, 151.20732, "AU");

/** The textbook formula, for comparison. */
function haversineKm(a: { lat: number; lng: number }, b: { lat: number; lng: number }): number {
  const rad = Math.PI / 180;
  const h =
    Math.sin(((b.lat - a.lat) * rad) / 2) ** 2 +
    Math.cos(a.lat * rad) * Math.cos(b.lat * rad) * Math.sin(((b.lng - a.lng) * rad) / 2) ** 2;
  return 2 * 6371.0088 * Math.asin(Math.min(1, Math.sqrt(h)));
}

const globe = fc
  .array(fc.record({ lat: fc.integer({ min: -900, max: 900 }), lng: fc.integer({ min: -1800, max: 1800 }) }), {
    minLength: 2,
    maxLength: 40,
  })
  .map((points) => points.map(({ lat, lng }, i) => placeAt(`p${i}`, lat / 10, lng / 10)));

describe("the places of the demo", () => {
  it("are read from the package's text, with the names of their regions", () => {
    const cities = [{ name: "Lyon", lat: "45.74846", lng: "4.84671", country: "FR", admin1: "84", admin2: "69" }];
    expect(places.readPlaces(cities, [{ code: "FR.84", name: "Auvergne-Rhône-Alpes" }])).toEqual([
      { ...LYON, region: "Auvergne-Rhône-Alpes" },
    ]);
    expect(places.readPlaces(cities)[0]?.region).toBe("");
  });
});

describe("neighbours", () => {
  it("are the nearest places in any country, the nearest first", () => {
    expect(places.neighbours([SYDNEY, BERLIN, LYON, PARIS], { country: "DE", count: 2 })).toEqual([
      {
        name: "Berlin",
        lat: BERLIN.lat,
        lng: BERLIN.lng,
        nearest: [
          { name: "Paris", country: "FR", km: 878.4 },
          { name: "Lyon", country: "FR", km: 976.3 },
        ],
      },
    ]);
  });

  it("are fewer where there are fewer, and none for a country without places", () => {
    expect(places.neighbours([PARIS, LYON], { country: "FR", count: 5 }).map(({ nearest }) => nearest.length)).toEqual([
      1, 1,
    ]);
    expect(places.neighbours([PARIS], { country: "DE" })).toEqual([]);
  });

  it("are those that sorting all distances gives", () => {
    fc.assert(
      fc.property(globe, fc.integer({ min: 1, max: 6 }), (all, count) => {
        const found = places.neighbours(all, { country: "XX", count });
        for (const [i, { nearest }] of found.entries()) {
          const expected = all
            .filter((_, j) => j !== i)
            .map((other) => haversineKm(all[i]!, other))
            .sort((a, b) => a - b)
            .slice(0, count);
          expect(nearest.length).toBe(expected.length);
          nearest.forEach(({ km }, rank) => expect(km).toBeCloseTo(expected[rank]!, 1));
        }
      }),
    );
  });
});

describe("densestRegions", () => {
  const crowd = [placeAt("a", 10, 10), placeAt("b", 10.1, 10), placeAt("c", 10, 10.1), placeAt("d", 10.1, 10.1, "YY")];

  it("puts the fullest circle first and lets none overlap", () => {
    const found = places.densestRegions([placeAt("far", -40, 100), ...crowd], { radiusKm: 50 });
    expect(found.map(({ name, places: count }) => [name, count])).toEqual([
      ["a", 4],
      ["far", 1],
    ]);
    expect(found[0]?.countries).toEqual([
      { name: "XX", count: 3 },
      { name: "YY", count: 1 },
    ]);
    // 4 places on 7,854 km².
    expect(found[0]?.perThousandKm2).toBe(0.51);
    expect(places.densestRegions([placeAt("far", -40, 100), ...crowd], { radiusKm: 50, count: 1 })).toHaveLength(1);
  });

  it("counts across the date line and around the poles", () => {
    const edge = [
      placeAt("west", 0, 179.9),
      placeAt("east", 0, -179.9),
      placeAt("pole", 90, 0),
      placeAt("near it", 89.9, 137),
    ];
    expect(places.densestRegions(edge, { radiusKm: 100 }).map(({ places: count }) => count)).toEqual([2, 2]);
  });

  it("counts what is in the circle, and only that", () => {
    fc.assert(
      fc.property(globe, fc.integer({ min: 50, max: 3_000 }), (all, radiusKm) => {
        for (const region of places.densestRegions(all, { radiusKm })) {
          const distances = all.map((other) => haversineKm(region, other));
          // A place within a metre of the edge may be in or out.
          expect(region.places).toBeGreaterThanOrEqual(distances.filter((km) => km < radiusKm - 0.001).length);
          expect(region.places).toBeLessThanOrEqual(distances.filter((km) => km < radiusKm + 0.001).length);
        }
      }),
    );
  });
});

describe("countryReport", () => {
  const row = [placeAt("a", 0, 0), placeAt("b", 1, 0), placeAt("c", 2, 0), placeAt("d", 4, 0)].map((place, i) => ({
    ...place,
    region: i < 3 ? "South" : "North",
  }));

  it("knows the extremes, the middle and the loneliest place", () => {
    const report = places.countryReport([...row, BERLIN], "XX");
    expect(report.places).toBe(4);
    expect(report.northernmost.name).toBe("d");
    expect(report.southernmost.name).toBe("a");
    expect(report.middle.name).toBe("b");
    expect(report.loneliest).toMatchObject({ name: "d", km: 222.39 });
    expect(report.farthestApart).toMatchObject({ from: { name: "a" }, to: { name: "d" }, km: 444.78 });
    expect(report.regions).toEqual([
      { name: "South", count: 3 },
      { name: "North", count: 1 },
    ]);
  });

  it("joins all places by the shortest roads", () => {
    const { network } = places.countryReport([row[3]!, row[0]!, row[2]!, row[1]!], "XX");
    expect(network.km).toBe(444.78);
    expect(network.roads.map(({ from, to }) => [from, to].sort().join("")).sort()).toEqual(["ab", "bc", "cd"]);
  });

  it("needs no second place, but one", () => {
    expect(places.countryReport([BERLIN], "DE")).toMatchObject({ loneliest: undefined, network: { km: 0, roads: [] } });
    expect(() => places.countryReport([BERLIN], "FR")).toThrow(RangeError);
  });
});

describe("roundTrip", () => {
  it("goes round a square, whatever the order of its corners", () => {
    const corners = [placeAt("a", 0, 0), placeAt("c", 1, 1), placeAt("b", 0, 1), placeAt("d", 1, 0)];
    const trip = places.roundTrip(corners, "XX");
    const names = trip.stops.map(({ name }) => name).join("");
    expect(["abcd", "adcb"]).toContain(names);
    expect(trip.km).toBeCloseTo(4 * 111.19, 0);
  });

  it("visits each place once, and turning a stretch never makes it longer", () => {
    fc.assert(
      fc.property(globe, (all) => {
        const trip = places.roundTrip(all, "XX");
        expect(trip.stops.map(({ name }) => name).sort()).toEqual(all.map(({ name }) => name).sort());
        expect(trip.savedKm).toBeGreaterThanOrEqual(0);
        expect(trip.km).toBeCloseTo(
          trip.stops.reduce((sum, { kmToNext }) => sum + kmToNext, 0),
          0,
        );
      }),
    );
  });
});

describe("distanceTable", () => {
  it("is CSV with a row for each place and town", async () => {
    const quoted = { ...BERLIN, name: 'Berlin, "Mitte"', region: "Land Berlin" };
    const chunks = [];
    for await (const chunk of places.distanceTable([quoted, PARIS], [PARIS, LYON])) chunks.push(chunk);
    expect(chunks.join("")).toBe(
      [
        "place,region,country,town,town_country,km",
        '"Berlin, ""Mitte""",Land Berlin,DE,Paris,FR,878',
        '"Berlin, ""Mitte""",Land Berlin,DE,Lyon,FR,976',
        "Paris,,FR,Paris,FR,0",
        "Paris,,FR,Lyon,FR,393",
        "",
      ].join("\n"),
    );
  });
});

describe("the table of the demo", () => {
  const plain = table.stylesOf(false);
  const result: table.Result = {
    title: "The 5 nearest places to each place of Austria",
    plainBytes: 694_672,
    rows: [
      {
        label: "first call",
        call: {
          answeredBy: "function",
          ms: 2_612.3,
          wireBytes: 133_400,
          storedBytes: 131_472,
          requests: ["GET", "PUT"],
        },
      },
      {
        label: "another process",
        call: { answeredBy: "bucket", ms: 18.21, wireBytes: 132_900, storedBytes: 131_472, requests: ["GET"] },
      },
      {
        label: "same process",
        call: { answeredBy: "memory", ms: 0.00131, wireBytes: 0, storedBytes: 0, requests: [] },
      },
    ],
  };

  it("has a line for each call, its numbers below each other", () => {
    expect(`${table.renderHeader(plain)}\n${table.renderResult(result, plain)}\n`).toMatchInlineSnapshot(`
      "                                time      faster  on the wire   gzip    requests
      The 5 nearest places to each place of Austria                     695 kB of JSON
        first call       computed   2.61 s                   133 kB  5.28×     GET PUT
        another process  bucket    18.2 ms        143×       133 kB  5.28×         GET
        same process     memory    1.31 µs  2,000,000×      nothing               none
      "
    `);
  });

  it("fits 80 columns, coloured or not", () => {
    for (const styles of [plain, table.stylesOf(true)]) {
      const bar = table.renderProgress(
        { label: "getStream", done: 0.615, text: "84.3 MB, 10.8 MB received, 140 MB/s" },
        styles,
      );
      for (const line of [table.renderHeader(styles), table.renderResult(result, styles), bar].join("\n").split("\n")) {
        // oxlint-disable-next-line no-control-regex -- the colours are control characters
        expect(line.replaceAll(/\x1b\[\d+m/g, "").length).toBeLessThanOrEqual(80);
      }
    }
  });

  it("writes numbers with three digits and a unit", () => {
    expect([0, 999, 1_000, 999_499, 999_500, 12_345_678, 1.5e9].map(table.formatBytes)).toEqual([
      "0 B",
      "999 B",
      "1.00 kB",
      "999 kB",
      "1.00 MB",
      "12.3 MB",
      "1.50 GB",
    ]);
    expect([0.0005, 0.00131, 0.9996, 12.345, 999.6, 59_949, 125_000].map(table.formatDuration)).toEqual([
      "500 ns",
      "1.31 µs",
      "1.00 ms",
      "12.3 ms",
      "1.00 s",
      "59.9 s",
      "2 min 5 s",
    ]);
    expect([1.234, 128.4, 999.6, 1_992_366].map(table.formatFactor)).toEqual(["1.23×", "128×", "1,000×", "2,000,000×"]);
  });

  it("folds longer text between words, and never loses one", () => {
    fc.assert(
      fc.property(fc.array(fc.stringMatching(/^[a-z]{1,20}$/), { maxLength: 60 }), (words) => {
        const folded = table.fold(words.join(" "));
        expect(folded.split("\n").every((line) => line.length <= 80)).toBe(true);
        expect(folded.replaceAll("\n", " ")).toBe(words.join(" "));
      }),
    );
    expect(table.fold("one\n\ntwo")).toBe("one\n\ntwo");
  });

  it("is coloured on a terminal only, and never against NO_COLOR", () => {
    expect(table.takesColours({ isTTY: true }, {})).toBe(true);
    expect(table.takesColours({ isTTY: true }, { NO_COLOR: "1" })).toBe(false);
    expect(table.takesColours({ isTTY: true }, { TERM: "dumb" })).toBe(false);
    expect(table.takesColours({}, {})).toBe(false);
  });
});

describe("the progress of the demo", () => {
  const transfer = (done: number) => ({
    done,
    ms: 1_000 * done,
    plainBytes: 1e8 * done,
    wireBytes: 4e7 * done,
    grownBytes: 0,
  });

  function record(isTTY: boolean) {
    const written: string[] = [];
    const stream = { isTTY, write: (text: string) => written.push(text) > 0 };
    const screen = openScreen(stream as unknown as NodeJS.WriteStream, { NO_COLOR: "1" });
    return { screen, written };
  }

  it("redraws one line on a terminal", () => {
    const { screen, written } = record(true);
    for (const done of [0.1, 0.5, 1]) screen.progress("set", "sent", transfer(done));
    const lines = written.join("").split("\n");
    expect(lines).toHaveLength(2);
    expect(lines[0]?.split("\r\x1b[2K").at(-1)).toBe(
      `  set       ${"█".repeat(24)} 100%  100 MB as 40.0 MB gzip, 1.00 s`,
    );
  });

  it("is a line for each quarter elsewhere, without control characters", () => {
    const { screen, written } = record(false);
    for (const label of ["set", "getStream"]) {
      for (let done = 0; done <= 100; done++) screen.progress(label, "received", transfer(done / 100));
    }
    const text = written.join("");
    expect(text.match(/\d+%/g)).toEqual(["25%", "50%", "75%", "100%", "25%", "50%", "75%", "100%"]);
    expect(text).not.toMatch(/[\r\x1b]/);
  });
});
