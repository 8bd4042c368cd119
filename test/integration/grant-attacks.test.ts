import { describe } from "vitest";
import { attacks } from "../support/attacks/index.js";
import { makeBucket } from "../support/bucket.js";
import { SIGNERS } from "../support/signers.js";

describe.each(SIGNERS)("on MinIO, signed for by %s", (_, signs) =>
  attacks(
    async () => {
      const { options, remove } = await makeBucket();
      return { ...options, stop: remove };
    },
    false,
    signs,
  ),
);
