import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { StoreClock, timeOf } from "../src/base/clock.js";
import { memoryStore } from "bucketcache/memory";

const NOW = Date.UTC(2026, 10, 22, 3, 0, 0);

beforeEach(() => void vi.useFakeTimers({ now: NOW }));
afterEach(() => void vi.useRealTimers());

const date = (offset: number) => new Date(NOW + offset).toUTCString();

test("a clock that has learned nothing is the local one", () => {
  const clock = new StoreClock();
  expect(clock.known).toBe(false);
  expect(clock.now()).toBe(NOW);
});

test("the store's Date corrects a clock that is far off", () => {
  const clock = new StoreClock();
  clock.observe(date(-7_200_000), NOW, NOW);
  expect(clock.known).toBe(true);
  // Half a second, since the second that a Date names is half over on average.
  expect(clock.now()).toBe(NOW - 7_200_000 + 500);
  vi.advanceTimersByTime(1_000);
  expect(clock.now()).toBe(NOW - 7_200_000 + 1_500);
});

test("what whole seconds and the way there explain is no difference", () => {
  const clock = new StoreClock();
  clock.observe(date(-2_000), NOW, NOW);
  expect(clock.now()).toBe(NOW);
  clock.observe(date(-6_000), NOW - 10_000, NOW);
  expect(clock.now()).toBe(NOW);
  clock.observe(date(-3_000), NOW, NOW);
  expect(clock.now()).toBe(NOW - 2_500);
});

test("an answer out of a cache, a 304 and a Date that is none teach nothing", () => {
  const clock = new StoreClock();
  clock.observe(date(-7_200_000), NOW, NOW, { age: true });
  clock.observe(date(-7_200_000), NOW, NOW, { status: 304 });
  clock.observe("yesterday", NOW, NOW);
  clock.observe(undefined, NOW, NOW);
  clock.observe(null, NOW, NOW);
  expect(clock.known).toBe(false);
  expect(clock.now()).toBe(NOW);
});

test("a handler's time is taken over", () => {
  const clock = new StoreClock();
  clock.set(NOW / 1_000 + 7_200.25);
  expect(clock.now()).toBe(NOW + 7_200_250);
  clock.set(NaN);
  expect(clock.now()).toBe(NOW + 7_200_250);
});

test("a store without a clock is given one, the same each time", () => {
  const store = { ...memoryStore() };
  expect(timeOf(store)).toBe(timeOf(store));
  expect(timeOf(store)).not.toBe(timeOf({ ...memoryStore() }));
});
