import { describe } from "vitest";
import { attacks } from "../support/attacks/index.js";
import { makeBucket } from "../support/bucket.js";

describe("on MinIO", () =>
  attacks(async () => {
    const { options, remove } = await makeBucket();
    return { ...options, stop: remove };
  }, false));
