/** Files for people's uploads, and what must arrive of them. */
import { createHash } from "node:crypto";
import { closeSync, existsSync, mkdirSync, openSync, statSync, writeSync } from "node:fs";
import { join } from "node:path";
import { noise } from "../page/lib.js";

const FOLDER = join(import.meta.dirname, "../../.cache/e2e/files");
const MIB = 1 << 20;

/** A file of half noise, half text: gzip has something to do, and enough is left to be sent in parts. */
export function fileOf(name: string, bytes: number): string {
  const path = join(FOLDER, name);
  if (existsSync(path) && statSync(path).size === bytes) return path;
  mkdirSync(FOLDER, { recursive: true });
  const file = openSync(path, "w");
  const half = Buffer.concat([noise(MIB / 2), Buffer.alloc(MIB / 2, "station,celsius\n")]);
  for (let left = bytes; left > 0; left -= half.length) writeSync(file, half, 0, Math.min(half.length, left));
  closeSync(file);
  return path;
}

/** The digest of what `lib.noise` makes in the page. */
export function sha256OfNoise(length: number): string {
  return createHash("sha256").update(noise(length)).digest("hex");
}
