import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { lifespanOf, stateOf } from "../src/cache/lifetime.js";

const FOREVER = { revalidateAfterMs: Infinity, deleteGraceMs: 0 };

/** The state of an object with this end, at this instant; both in Unix seconds. */
const stateAt = (now: number, expiresAt: number | undefined, policy = FOREVER) =>
  stateOf(lifespanOf(expiresAt), { now: () => now * 1000 }, policy);

test("an entry is expired from its very end on", () => {
  expect(stateAt(9.999, 10)).toBe("fresh");
  expect(stateAt(10, 10)).toBe("ended");
  expect(stateAt(0, -1)).toBe("ended");
  expect(stateAt(1e12, undefined)).toBe("fresh");
});

test("an end in fractions of a second is met to the millisecond", () => {
  for (let ms = 0; ms < 1000; ms++) {
    const end = 1_795_310_019 + ms / 1000;
    expect(stateOf(lifespanOf(end), { now: () => 1_795_310_019_000 + ms - 1 }, FOREVER)).toBe("fresh");
    expect(stateOf(lifespanOf(end), { now: () => 1_795_310_019_000 + ms }, FOREVER)).toBe("ended");
  }
});

test("between its end and the end of its grace an entry is stale; without a deletion, for ever", () => {
  const grace = { revalidateAfterMs: Infinity, deleteGraceMs: 60_000 };
  expect(stateAt(10, 10, grace)).toBe("stale");
  expect(stateAt(69.999, 10, grace)).toBe("stale");
  expect(stateAt(70, 10, grace)).toBe("ended");
  expect(stateAt(1e12, 10, { ...grace, deleteGraceMs: Infinity })).toBe("stale");
});

test("a copy is due once its confirmation has the age, whatever the store's clock says, unless it has ended", () => {
  vi.setSystemTime(100_000);
  const copy = { endsAtMs: 500_000, confirmedAtMs: 40_001 };
  const policy = { revalidateAfterMs: 60_000, deleteGraceMs: 0 };
  const clock = { now: () => 300_000 };
  expect(stateOf(copy, clock, policy)).toBe("fresh");
  vi.setSystemTime(100_001);
  expect(stateOf(copy, clock, policy)).toBe("due");
  expect(stateOf(copy, { now: () => 500_000 }, policy)).toBe("ended");
});

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());
