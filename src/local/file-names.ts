import { utf8 } from "../base/bytes.js";

/**
 * The place of an object in the folder. Each segment of the key becomes a name that every file system takes and keeps
 * apart: lower-case ASCII, any other byte as `=` and two hexadecimal digits. Files end in `.entry`, and no other name
 * holds a dot, so that `a` and `a/b` fit beside each other. `~` begins the folders that are not part of a key.
 */

const SUFFIX = ".entry";
/** File systems take names of 255 bytes. */
const MAX_NAME = 200;
/** macOS takes paths of 1,024 bytes; the rest is for the path of the folder. */
const MAX_PATH = 512;
/** Names of devices on Windows, with any extension. */
const DEVICE = /^(con|prn|aux|nul|com\d|lpt\d)$/;

/** Returns the names of an object's folders and file; undefined when they would be too long for a file system. */
export function pathOf(key: string): string[] | undefined {
  const names = foldersOf(key);
  const last = (names.pop() as string) + SUFFIX;
  if (last.length > MAX_NAME || names.some((name) => name.length > MAX_NAME)) return undefined;
  names.push(last);
  return names.join("/").length > MAX_PATH ? undefined : names;
}

/** Returns the names of the folders that stand for these segments. */
export function foldersOf(segments: string): string[] {
  return segments.split("/").map(encodeName);
}

/** Returns the segment that a file stands for; undefined for a file that is not ours. */
export function fileSegment(name: string): string | undefined {
  return name.endsWith(SUFFIX) ? decodeName(name.slice(0, -SUFFIX.length)) : undefined;
}

/** Encodes a segment as the name of a folder, which has no suffix. */
export function encodeName(segment: string): string {
  // An empty segment is legal in S3; escapes have two digits, so nothing else becomes a lone `=`.
  if (segment === "") return "=";
  let name = "";
  for (const byte of utf8(segment)) {
    const char = String.fromCharCode(byte);
    name += /[a-z0-9_-]/.test(char) ? char : escaped(byte);
  }
  return DEVICE.test(name) ? escaped(name.charCodeAt(0)) + name.slice(1) : name;
}

/** Returns the segment of which {@link encodeName} made a name; undefined for a name that it never makes. */
export function decodeName(name: string): string | undefined {
  if (name === "=") return "";
  if (!/^([a-z0-9_-]|=[0-9a-f]{2})+$/.test(name)) return undefined;
  try {
    const segment = decodeURIComponent(name.replaceAll("=", "%"));
    return encodeName(segment) === name ? segment : undefined;
  } catch {
    return undefined;
  }
}

function escaped(byte: number): string {
  return `=${byte.toString(16).padStart(2, "0")}`;
}
