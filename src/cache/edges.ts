/** The parts of the cache that few programs use. A page loads each when there is first work for it. */
import { lazy } from "../base/lazy.js";

/** `list` and `clear`. */
export const bulk = /* @__PURE__ */ lazy(() => import("./bulk.js"));
/** `presign`, of the cache and of wrapped functions. */
export const grants = /* @__PURE__ */ lazy(() => import("./presign.js"));
/** `getStream`, `getResponse` and `getOrSetStream`. */
export const streams = /* @__PURE__ */ lazy(() => import("./store/streams.js"));
/** The upload of a body by `set`. */
export const uploads = /* @__PURE__ */ lazy(() => import("./store/upload.js"));
