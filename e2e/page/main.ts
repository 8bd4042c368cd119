/** The page that most tests work with: the library, and a few helpers, within reach of what the tests send. */
import * as lib from "./lib.js";

Object.assign(globalThis, { lib });
