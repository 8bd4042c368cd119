import { expect, test } from "vitest";
import { lazy } from "../src/base/lazy.js";

/** A lazy part that arrives or fails when the test says so. */
function partOnDemand() {
  const loads: { arrive(): void; fail(error: Error): void }[] = [];
  const part = lazy(
    () =>
      new Promise<string>((resolve, reject) => {
        loads.push({ arrive: () => resolve("part"), fail: reject });
      }),
  );
  return { part, loads };
}

test("nothing is loaded before there is work, and then once", async () => {
  const { part, loads } = partOnDemand();
  expect(loads).toHaveLength(0);
  const works = [part(async (found) => found), part(async (found) => found)];
  expect(loads).toHaveLength(1);
  loads[0]!.arrive();
  expect(await Promise.all(works)).toEqual(["part", "part"]);
  await part(async () => undefined);
  expect(loads).toHaveLength(1);
});

test("work begins in the order in which it was asked for, also what is asked for by the first", async () => {
  const { part, loads } = partOnDemand();
  const begun: string[] = [];
  const begin = (name: string) => async () => void begun.push(name);
  const first = part(async () => {
    begun.push("1");
    return part(begin("4"));
  });
  const others = [part(begin("2")), part(begin("3"))];
  loads[0]!.arrive();
  await Promise.all([first, ...others]);
  expect(begun).toEqual(["1", "2", "3", "4"]);
});

test("once the part is there, work begins before the call returns", async () => {
  const { part, loads } = partOnDemand();
  const first = part(async () => undefined);
  loads[0]!.arrive();
  await first;
  let begun = false;
  void part(async () => void (begun = true));
  expect(begun).toBe(true);
});

test("a part that could not be loaded is an error for those who waited, and is asked for again by the next", async () => {
  const { part, loads } = partOnDemand();
  const works = Promise.allSettled([part(async () => 1), part(async () => 2)]);
  const cause = new TypeError("Failed to fetch");
  loads[0]!.fail(cause);
  for (const { reason } of (await works) as PromiseRejectedResult[]) {
    expect(reason).toMatchObject({ name: "BucketCacheError", code: "ERR_UNAVAILABLE", cause });
  }
  const again = part(async (found) => found);
  expect(loads).toHaveLength(2);
  loads[1]!.arrive();
  expect(await again).toBe("part");
});
