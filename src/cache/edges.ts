/** The parts of a cache that not every program uses. A page loads each when there is first work for it. */
import { lazy } from "../base/lazy.js";

/** Writes objects. A page that only reads never loads it. */
export const writing = /* @__PURE__ */ lazy(() => import("./store/put.js"));

/** Uploads bodies. */
export const uploading = /* @__PURE__ */ lazy(() => import("./store/upload.js"));

/** Streams, grants, `list` and `clear`. */
export const rare = /* @__PURE__ */ lazy(() => import("./rare.js"));
