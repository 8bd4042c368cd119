import { expect, test, vi } from "vitest";
import { createCache } from "../src/index.js";
import { memoryStore } from "../src/stores/memory.js";

// As in a page whose files have moved since it was opened.
vi.mock("../src/cache/store/upload.js", () => {
  throw new Error("404");
});

function makeBody() {
  const cancel = vi.fn();
  return { cancel, body: new ReadableStream<Uint8Array>({ cancel }, { highWaterMark: 0 }) };
}

test("set closes the body when the part that uploads cannot be loaded", async () => {
  const { body, cancel } = makeBody();
  await expect(createCache({ store: memoryStore() }).set("key", body)).rejects.toMatchObject({
    code: "ERR_UNAVAILABLE",
  });
  expect(cancel).toHaveBeenCalledOnce();
});

test("getOrSetStream closes the body when the part that uploads cannot be loaded", async () => {
  const { body, cancel } = makeBody();
  const cache = createCache({ store: memoryStore() });
  await cache
    .getOrSetStream("key", () => body)
    .then((stream) => stream.cancel())
    .catch(() => undefined);
  expect(cancel).toHaveBeenCalledOnce();
});
