/** All that begins where memory ends. A page loads it apart, when there is first work for it. */
export { clear, deleteMany, getMany, list } from "./bulk.js";
export { get, getEntry, getOrSet, has } from "./entries.js";
export { load, refresh } from "./load.js";
export { oneGrant } from "./presign.js";
export { remove } from "./store/remove.js";
export { peekResult, presignResult } from "./results.js";
export { getOrSetStream, openEntry, setStream, toResponse } from "./store/streams.js";
export { setValue } from "./store/write.js";
