import fc from "fast-check";
import { request } from "node:http";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startDevServer, type DevServer } from "bucketcache/dev";
import { fromColumns, toColumns } from "../examples/playground/columns.mjs";
import { objectionTo } from "../examples/playground/questions.mjs";
import { startPlayground } from "../examples/playground/server.mjs";
import { fromFragment, toFragment } from "../playground/page/fragment.js";
import type { Grant } from "bucketcache";

describe("places as columns", () => {
  const coordinate = (limit: number) =>
    fc.integer({ min: -limit * 1e5, max: limit * 1e5 }).map((units) => Number((units / 1e5).toFixed(5)));
  const place = fc.record({
    name: fc.string(),
    country: fc.constantFrom("FR", "DE", "AT"),
    region: fc.constantFrom("", "Wien", "Tirol"),
    lat: coordinate(90),
    lng: coordinate(180),
  });

  it("come back as the same places, also by way of JSON", () => {
    fc.assert(
      fc.property(fc.array(place), (places) => {
        const plain = places.map((each) => ({ ...each, lat: each.lat + 0, lng: each.lng + 0 }));
        expect(fromColumns(JSON.parse(JSON.stringify(toColumns(plain))) as ReturnType<typeof toColumns>)).toEqual(
          plain,
        );
      }),
    );
  });
});

describe("the questions of the playground", () => {
  const countries = { AT: 2266, US: 17_343, LI: 14 };

  it.each([
    ["neighbours", [{ country: "AT", count: 5 }]],
    ["countryReport", ["AT"]],
    ["roundTrip", ["LI"]],
    ["densestRegions", [{ radiusKm: 75, count: 1_000 }]],
  ])("take %s of what is offered", (name, args) => {
    expect(objectionTo(name, args, countries)).toBeUndefined();
  });

  it.each([
    ["toString", ["AT"]],
    ["countryReport", ["US"]],
    ["countryReport", ["constructor"]],
    ["countryReport", ["AT", "AT"]],
    ["countryReport", "AT"],
    ["countryReport", undefined],
    ["countryReport", [null]],
    ["roundTrip", ["AT"]],
    ["neighbours", ["AT"]],
    ["neighbours", [{ country: "AT", count: 1e9 }]],
    ["neighbours", [{ country: "AT", count: 5, more: true }]],
    ["densestRegions", [{ radiusKm: 1e4, count: 1_000 }]],
    ["densestRegions", [null]],
  ])("refuse %s of %j", (name, args) => {
    expect(objectionTo(name, args, countries)).toEqual(expect.any(String));
  });
});

describe("a grant in a fragment", () => {
  const grant: Grant = {
    key: "bucketcache-demo/uploads/grüße.txt",
    operation: "read",
    method: "GET",
    url: `http://127.0.0.1:9000/demo/x?X-Amz-Signature=${"0a".repeat(32)}`,
    headers: {},
    expiresAt: 1_795_310_019,
  };

  it("comes back as it was, and needs no escaping", async () => {
    const fragment = await toFragment(grant);
    expect(fragment).toMatch(/^#grant=[\w-]+$/);
    expect(await fromFragment(fragment)).toEqual(grant);
  });

  it.each(["", "#", "#grant=", "#grant=%%", "#grant=AAAA", "#other=1"])(
    "is refused when it is %j",
    async (fragment) => {
      await expect(fromFragment(fragment)).rejects.toThrow(/link/);
    },
  );

  it("is refused when it is cut", async () => {
    const fragment = await toFragment(grant);
    await expect(fromFragment(fragment.slice(0, -20))).rejects.toThrow(/damaged/);
  });

  it("is refused when it would unfold to more than any grant has", async () => {
    const bomb = await toFragment({ ...grant, key: "x".repeat(1_000_000) });
    expect(bomb.length).toBeLessThan(5_000);
    await expect(fromFragment(bomb)).rejects.toThrow(/damaged/);
  });

  it("is refused when it is for anything but reading", async () => {
    const fragment = await toFragment({ ...grant, operation: "delete", method: "DELETE" });
    await expect(fromFragment(fragment)).rejects.toThrow(/no grant to read/);
  });
});

describe("the playground's server", () => {
  let s3: DevServer;
  let playground: Awaited<ReturnType<typeof startPlayground>>;

  beforeAll(async () => {
    s3 = await startDevServer({ buckets: ["demo"] });
    const { endpoint, region, credentials } = s3;
    playground = await startPlayground({ bucket: { bucket: "demo", endpoint, region, credentials }, cors: true });
  });
  afterAll(async () => {
    await playground.close();
    await s3.close();
  });

  /** With headers that `fetch` does not let one set. */
  const ask = (path: string, { method = "GET", headers = {}, body = "" } = {}) =>
    new Promise<{ status: number | undefined; text: string; headers: Record<string, unknown> }>((resolve, reject) => {
      const sent = request(new URL(path, playground.url), { method, headers }, (response) => {
        let text = "";
        response.setEncoding("utf8").on("data", (chunk) => (text += chunk));
        response.on("end", () => resolve({ status: response.statusCode, text, headers: response.headers }));
      });
      sent.on("error", reject).end(body);
    });

  it("serves its page under a policy that runs no script but its own", async () => {
    const { status, text, headers } = await ask("/");
    expect(status).toBe(200);
    expect(text).toContain("bucketcache playground");
    expect(text).not.toMatch(/<script(?![^>]*src=)|\son\w+=|style="/);
    expect(headers["content-security-policy"]).toContain("script-src 'self';");
    expect(headers["content-security-policy"]).toContain(`connect-src 'self' ${s3.endpoint};`);
  });

  it.each(["/../package.json", "/%2e%2e/package.json", "/assets/", "/data/places.json.gz", "/nothing"])(
    "has no %s",
    async (path) => {
      expect((await ask(path)).status).toBe(404);
    },
  );

  it("refuses requests under another host name, as a page has that has rebound its own", async () => {
    expect((await ask("/api/info", { headers: { host: "evil.example" } })).status).toBe(421);
  });

  it.each(["/api/call", "/api/link", "/api/restart"])("refuses %s to pages of other origins", async (path) => {
    const json = { "content-type": "application/json" };
    const foreign = { method: "POST", headers: { ...json, origin: "http://evil.example" }, body: "{}" };
    expect((await ask(path, foreign)).status).toBe(403);
    const hidden = { method: "POST", headers: { ...json, "sec-fetch-site": "cross-site" }, body: "{}" };
    expect((await ask(path, hidden)).status).toBe(403);
  });

  it.each(["{", "[1", "null", "7", JSON.stringify({ name: "x".repeat(5_000) })])(
    "refuses the body %.20s",
    async (body) => {
      const headers = { "content-type": "application/json" };
      expect((await ask("/api/call", { method: "POST", headers, body })).status).toBe(400);
    },
  );

  it("grants what is below its prefix: writes in the folders of the page only", async () => {
    const requests = [
      { op: "get", key: "bucketcache-demo/uploads/a" },
      { op: "put", key: "bucketcache-demo/uploads/a", size: 1, ttl: 60 },
      { op: "put", key: "bucketcache-demo/exports/distances.csv", size: 1, ttl: 60 },
      { op: "put", key: "bucketcache-demo/uploads/a", size: 1 },
      { op: "put", key: "bucketcache-demo/uploads/a", size: 2 ** 40, ttl: 60 },
      { op: "get", key: "elsewhere/a" },
    ];
    const headers = { "content-type": "application/json" };
    const { text } = await ask("/cache", { method: "POST", headers, body: JSON.stringify({ v: 1, requests }) });
    const { results } = JSON.parse(text) as { results: { url?: string; error?: { code: string } }[] };
    expect(results.map(({ url, error }) => (url === undefined ? error?.code : "granted"))).toEqual([
      "granted",
      "granted",
      "ERR_FORBIDDEN",
      "ERR_FORBIDDEN",
      "ERR_TOO_LARGE",
      "ERR_FORBIDDEN",
    ]);
  });

  it("lets the bucket be used by its own pages and by no others", async () => {
    const { url } = JSON.parse(
      (
        await ask("/api/link", {
          method: "POST",
          headers: { "content-type": "application/json" },
          body: JSON.stringify({ key: "uploads/a" }),
        })
      ).text,
    ) as { url: string };
    const allowed = async (origin: string) =>
      (await fetch(url, { headers: { origin } })).headers.get("access-control-allow-origin");
    expect(await allowed(playground.origins[0] ?? "")).toBe(playground.origins[0]);
    expect(await allowed("http://evil.example")).toBeNull();
  });
});
