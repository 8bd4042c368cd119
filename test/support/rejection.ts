import { expect } from "vitest";

/** Returns the error with which a promise rejects; one that is fulfilled fails the test. */
export function rejectionOf(promise: Promise<unknown>): Promise<Error & { code?: string; key?: string }> {
  return promise.then(
    () => expect.fail("it should have failed"),
    (error: unknown) => error as Error & { code?: string; key?: string },
  );
}
