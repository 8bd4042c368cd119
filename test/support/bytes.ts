import { expect } from "vitest";

/** Expects equal bytes. `toEqual` compares one element at a time, which takes seconds for megabytes. */
export function expectSameBytes(actual: Uint8Array, expected: Uint8Array): void {
  expect(actual.byteLength).toBe(expected.byteLength);
  expect(Buffer.compare(actual, expected)).toBe(0);
}
