/** The operations that few programs use, in one part: each alone would be too small to be worth a request. */
export { clear, list } from "./bulk.js";
export { presignEntry, presignResult } from "./presign.js";
export { getOrSetStream, getResponse, getStream } from "./store/streams.js";
