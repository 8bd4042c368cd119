import { describe, expect, test } from "vitest";
import { checkRange, clipRange, contentRange, rangeHeader, sizeOfWhole } from "../src/base/range.js";

describe("a range", () => {
  test.each([{ offset: 0 }, { offset: 0, length: 1 }, { offset: 2 ** 40, length: 2 ** 40 }, undefined])(
    "%o is valid",
    (range) => {
      expect(() => checkRange(range)).not.toThrow();
    },
  );

  test.each([{ offset: -1 }, { offset: 0.5 }, { offset: NaN }, { offset: 0, length: 0 }, { offset: 0, length: 1.5 }])(
    "%o names no bytes",
    (range) => {
      expect(() => checkRange(range)).toThrow(TypeError);
    },
  );

  test.each([
    [undefined, 10, 0, 10],
    [undefined, 0, 0, 0],
    [{ offset: 0 }, 10, 0, 10],
    [{ offset: 4, length: 3 }, 10, 4, 7],
    [{ offset: 4, length: 300 }, 10, 4, 10],
    [{ offset: 9 }, 10, 9, 10],
    [{ offset: 10 }, 10, 10, 10],
    [{ offset: 50, length: 5 }, 10, 50, 50],
  ])("%o of %i bytes is from %i to %i", (range, size, start, end) => {
    expect(clipRange(range, size)).toEqual({ start, end });
  });

  test("of an object whose size is not known has no known end", () => {
    expect(clipRange({ offset: 4, length: 3 }, NaN)).toEqual({ start: 4, end: NaN });
  });
});

test("headers of ranges are those of RFC 9110, section 14", () => {
  expect(rangeHeader({ offset: 5 })).toBe("bytes=5-");
  expect(rangeHeader({ offset: 5, length: 1 })).toBe("bytes=5-5");
  expect(contentRange(5, 10, 20)).toBe("bytes 5-9/20");
  expect(sizeOfWhole("bytes 5-9/20")).toBe(20);
  expect(sizeOfWhole("bytes 5-9/*")).toBeUndefined();
  expect(sizeOfWhole(undefined)).toBeUndefined();
});
