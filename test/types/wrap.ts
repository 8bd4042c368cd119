import { createCache, type Cache, type Grant, type Wrapped } from "bucketcache";
import { expectType } from "./expect.js";

// Only compiled: what is called here never runs.
declare const cache: Cache;

interface City {
  name: string;
  people: number;
}

export async function plain(): Promise<void> {
  const city = cache.wrap(async (name: string, people?: number) => ({ name, people: people ?? 0 }), { name: "city" });
  expectType<Promise<City>>()(city("Bern"));
  expectType<Promise<City>>()(city.refresh("Bern", 1));
  expectType<Promise<City | undefined>>()(city.peek("Bern"));
  expectType<Promise<void>>()(city.invalidate("Bern"));
  expectType<string>()(city.keyOf("Bern"));
  expectType<Promise<Grant>>()(city.presign("Bern"));
  expectType<Promise<City>>()(city.with({ signal: new AbortController().signal, expiresIn: "5m" })("Bern"));
  expectType<(name: string, people?: number) => Promise<City>>()(city.fn);

  // @ts-expect-error a number is no name
  await city(1);
  // @ts-expect-error the name is missing
  await city();
  // @ts-expect-error peek takes the arguments of the function
  await city.peek(1);
  // @ts-expect-error refresh takes the arguments of the function
  await city.refresh("Bern", "many");
}

export async function synchronous(): Promise<void> {
  const square = cache.wrap((n: number) => n * n, { name: "square" });
  expectType<Promise<number>>()(square(2));
  expectType<Promise<number>>()(square.refresh(2));
  expectType<(n: number) => number>()(square.fn);
}

export async function defaults(): Promise<void> {
  // A parameter with a default keeps its type and may be left out.
  const range = cache.wrap(async (from: number, to = 10) => [from, to], { name: "range" });
  expectType<Promise<number[]>>()(range(1));
  expectType<Promise<number[]>>()(range(1, 2));
  // @ts-expect-error the default is a number
  await range(1, "2");
}

export async function unannotated(): Promise<void> {
  // @ts-expect-error a parameter without a type is an error, as everywhere else
  cache.wrap(async (n) => n, { name: "unannotated" });
}

export async function generic(): Promise<void> {
  const first = cache.wrap(async <T>(items: readonly T[]) => items[0], { name: "first" });
  expectType<Promise<string | undefined>>()(first(["a"]));
  expectType<Promise<number | undefined>>()(first.refresh([1]));
  expectType<Promise<City | undefined>>()(first.with({})([{ name: "Bern", people: 1 }]));
}

export async function overloads(): Promise<void> {
  function parse(text: string): Promise<number>;
  function parse(text: string, all: true): Promise<number[]>;
  async function parse(text: string, all?: true): Promise<number | number[]> {
    return all ? [Number(text)] : Number(text);
  }
  const cached = cache.wrap(parse, { name: "parse" });
  expectType<Promise<number>>()(cached("1"));
  expectType<Promise<number[]>>()(cached("1", true));
  expectType<Promise<number>>()(cached.refresh("1"));
  expectType<Promise<number[]>>()(cached.refresh("1", true));
  // @ts-expect-error no overload takes false
  await cached("1", false);
}

export async function rest(): Promise<void> {
  const sum = cache.wrap(async (...numbers: number[]) => numbers.length, { name: "sum" });
  expectType<Promise<number>>()(sum(1, 2, 3));
  // @ts-expect-error all of them are numbers
  await sum(1, "2");
}

export async function self(): Promise<void> {
  class Shop {
    country = "CH";
    async price(this: Shop, item: string): Promise<number> {
      return item.length + this.country.length;
    }
  }
  const price = cache.wrap(Shop.prototype.price, {
    name: "price",
    key(item) {
      expectType<Shop>()(this);
      expectType<string>()(item);
      return [this.country, item];
    },
  });
  const shop = Object.assign(new Shop(), { cached: price });
  expectType<Promise<number>>()(shop.cached("tea"));
  // @ts-expect-error called without its object
  await price("tea");
}

export function options(): void {
  const city = async (name: string): Promise<City> => ({ name, people: 1 });
  const wrapped = cache.wrap(city, {
    name: "city",
    ttl: (value, name) => {
      expectType<City>()(value);
      expectType<string>()(name);
      return value.people > 0 ? "1h" : 60;
    },
    shouldCache: (value) => value.people > 0,
    compress: "auto",
    write: "background",
    replace: true,
  });
  expectType<Wrapped<(name: string) => Promise<City>>>()(wrapped);
  cache.wrap(city, { name: "city", ttl: "90s" });
  cache.wrap(city, { name: "city", ttl: Infinity });
  // @ts-expect-error a name is required: minifiers rename functions
  cache.wrap(city, {});
  // @ts-expect-error no such choice
  cache.wrap(city, { name: "city", write: "later" });
  // @ts-expect-error a misspelt option
  cache.wrap(city, { name: "city", tll: "1h" });
  // @ts-expect-error a store is required
  createCache({});
}
