// A consumer's class with the TC39 decorator, compiled by tsc alone and then run: on the memory store, in this process.
import { cached, createCache } from "bucketcache";
import { memoryStore } from "bucketcache/memory";
import { expectType } from "./expect.js";

const cache = createCache({ store: memoryStore() });
const calls: string[] = [];

class Shop {
  constructor(readonly country: string) {}

  @cached(cache, {
    name: "shop.price",
    ttl: "1h",
    key(this: Shop, item: string) {
      return [this.country, item];
    },
  })
  async price(item: string, amount = 1): Promise<number> {
    calls.push(`${this.country} ${item}`);
    return item.length * amount;
  }

  // The same without syntax, as tools without decorators need it.
  async stock(item: string): Promise<string> {
    calls.push(`stock of ${item} in ${this.country}`);
    return `${this.country}: ${item}`;
  }
}

const context = { kind: "method", name: "stock" } as ClassMethodDecoratorContext<Shop, Shop["stock"]>;
Shop.prototype.stock = cached(cache, { name: "shop.stock" })(Shop.prototype.stock, context);

function same(actual: unknown, expected: unknown): void {
  const [a, b] = [JSON.stringify(actual), JSON.stringify(expected)];
  if (a !== b) throw new Error(`expected ${b}, got ${a}`);
}

const swiss = new Shop("CH");
const french = new Shop("FR");
expectType<Promise<number>>()(swiss.price("tea"));
same([await swiss.price("tea"), await swiss.price("tea"), await french.price("tea")], [3, 3, 3]);
same(calls, ["CH tea", "FR tea"]);

// `this` is not part of the key unless `key` puts it there.
same([await swiss.stock("tea"), await french.stock("tea")], ["CH: tea", "CH: tea"]);
same(calls.slice(2), ["stock of tea in CH"]);

// @ts-expect-error the decorated method keeps its parameters
const wrong = () => swiss.price(1);
same(typeof wrong, "function");

const synchronous = () => {
  class Broken {
    // @ts-expect-error a cached method answers with a promise
    @cached(cache, { name: "broken" })
    price(): number {
      return 1;
    }
  }
  return new Broken();
};
same(typeof synchronous, "function");

await cache.close();
