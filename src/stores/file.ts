/**
 * Entries in a folder, on Node, Bun and Deno.
 *
 * @module bucketcache/file
 */
export { fileStore } from "../local/file-store.js";
