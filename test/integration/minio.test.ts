import { expect, inject, test } from "vitest";

test("the integration tests run against a live MinIO", async () => {
  const answer = await fetch(`${inject("minio").endpoint}/minio/health/live`);
  expect(answer.status).toBe(200);
});
