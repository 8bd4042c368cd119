import { describe } from "vitest";
import { attacks } from "./support/attacks/index.js";
import { devBucket } from "./support/handler.js";

describe("on the dev server", () => attacks(devBucket, true));
