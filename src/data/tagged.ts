import { brandOf } from "./brands.js";
import { hasLoneSurrogate, isPlainObject } from "./plain.js";

/** Notes for and from the writer about a value to be stored. Without notes, it writes the canonical text of a key. */
export interface ValueNotes {
  /** Whether plain objects that look like a tag are escaped, as they must be among tags. */
  readonly escape: boolean;
  /** Set when a tag was written. */
  tagged: boolean;
  /** Set when a plain object that looks like a tag was met. */
  lookalike: boolean;
  /** Set when an object was written as the result of its `toJSON`. */
  converted: boolean;
}

/** Levels of nesting, tags included, beyond which data is refused before the stack is exhausted. The reader has the same limit. */
export const MAX_DEPTH = 1_000;
/** Digits of a bigint in a value. It takes more than linear time to read, so the reader takes no more. */
export const MAX_DIGITS = 10_000;
/** Characters of a pattern in a value, for the same reason. */
export const MAX_PATTERN = 10_000;

// Cycles are found by remembering ancestors, but only from this depth on: almost all data is flatter and pays nothing.
const REMEMBER_FROM = 16;

// Characters that JSON does not write as they are (control characters, quote, backslash), and surrogates, which need a closer look.
const ESCAPED = /[^ !#-[\]-\ud7ff\ue000-\uffff]/;

/** Reason why data was refused, and its place, which is gathered while the stack unwinds. */
class Refusal {
  readonly reason: string;
  /** Objects around the refused value, from the inside out, and the way from each to the next. */
  readonly around: { owner: object; key: string | number | undefined }[] = [];
  constructor(reason: string) {
    this.reason = reason;
  }
}

/**
 * Writes data as JSON, with tags such as `{"$$Date":"…"}` for values that JSON cannot express. Returns the canonical text
 * of keys (RFC 8785: properties sorted, `-0` is `0`, lone surrogates refused), or with `notes` the text of a value, which
 * keeps the order of properties, `-0` and any string. docs/keys.md has the table of tags.
 *
 * @param root Beginning of the path in an error.
 * @param advice Suggestion at the end of an error.
 * @throws TypeError that names the path of what cannot be written.
 */
export function writeTagged(value: unknown, root: string, advice: string, notes?: ValueNotes): string {
  try {
    return write(value, 0, undefined, notes);
  } catch (error) {
    if (error instanceof Refusal) throw new TypeError(`${root}${describe(error)}: ${advice}`);
    throw error;
  }
}

function write(value: unknown, depth: number, ancestors: Set<object> | undefined, notes?: ValueNotes): string {
  switch (typeof value) {
    case "string":
      return quote(value, notes);
    case "number":
      if (value - value !== 0) return tag("number", `"${value}"`, notes);
      return notes !== undefined && Object.is(value, -0) ? tag("number", '"-0"', notes) : `${value}`;
    case "boolean":
      return `${value}`;
    case "undefined":
      return tag("undefined", "true", notes);
    case "bigint": {
      const digits = value.toString();
      if (notes !== undefined && digits.length > MAX_DIGITS) throw new Refusal(`has more than ${MAX_DIGITS} digits`);
      return tag("bigint", `"${digits}"`, notes);
    }
    case "object":
      break;
    default:
      throw new Refusal(`is a ${typeof value}`);
  }
  if (value === null) return "null";
  if (depth < REMEMBER_FROM) return writeObject(value, depth + 1, undefined, notes);
  if (depth >= MAX_DEPTH) throw new Refusal(`is nested deeper than ${MAX_DEPTH} levels`);
  if (ancestors?.has(value)) throw new Refusal("");
  (ancestors ??= new Set()).add(value);
  const text = writeObject(value, depth + 1, ancestors, notes);
  ancestors.delete(value);
  return text;
}

function writeObject(value: object, depth: number, ancestors: Set<object> | undefined, notes?: ValueNotes): string {
  let key: string | number | undefined;
  try {
    let text = "";
    if (Array.isArray(value)) {
      const { length } = value;
      for (key = 0; key < length; key++) {
        if (key > 0) text += ",";
        text += write(value[key], depth, ancestors, notes);
      }
      return `[${text}]`;
    }
    if (!isPlainObject(value)) return writeInstance(value, depth, ancestors, notes);
    const symbols = Object.getOwnPropertySymbols(value);
    if (symbols.length > 0) throw new Refusal(`has the symbol ${String(symbols[0])} as a property name`);
    const names = Object.keys(value);
    if (notes === undefined) sort(names);
    let count = 0;
    let last = "";
    for (key of names) {
      const item = (value as Record<string, unknown>)[key];
      if (item === undefined) continue;
      if (typeof item === "function" && key === "toJSON") {
        key = undefined;
        if (notes !== undefined) notes.converted = true;
        return write(item.call(value, ""), depth, ancestors, notes);
      }
      if (count++ > 0) text += ",";
      last = key;
      text += quoteName(key, notes) + write(item, depth, ancestors, notes);
    }
    if (count === 1 && last.startsWith("$$")) {
      if (notes !== undefined) notes.lookalike = true;
      if (notes?.escape !== false) text = `"$${text.slice(1)}`;
    }
    return `{${text}}`;
  } catch (error) {
    if (error instanceof Refusal) error.around.push({ owner: value, key });
    throw error;
  }
}

/** Writes an object that is not plain: a built-in, which its brand tells before `toJSON` is looked at, or else by `toJSON`. */
function writeInstance(value: object, depth: number, ancestors: Set<object> | undefined, notes?: ValueNotes): string {
  const brand = brandOf(value);
  if (brand !== undefined) {
    if (notes !== undefined && brand.name === "RegExp" && (brand.data as string[])[0]!.length > MAX_PATTERN) {
      throw new Refusal(`is a pattern of more than ${MAX_PATTERN} characters`);
    }
    return tag(brand.name, write(brand.data, depth, ancestors, notes), notes);
  }
  const { toJSON } = value as { toJSON?: unknown };
  if (typeof toJSON === "function") {
    if (notes !== undefined) notes.converted = true;
    return write(toJSON.call(value, ""), depth, ancestors, notes);
  }
  const name = (value as { constructor?: { name?: unknown } }).constructor?.name;
  throw new Refusal(`is an instance of ${typeof name === "string" && name !== "" ? name : "a class"} without toJSON`);
}

function tag(name: string, text: string, notes?: ValueNotes): string {
  if (notes !== undefined) notes.tagged = true;
  return `{"$$${name}":${text}}`;
}

function quote(text: string, notes?: ValueNotes): string {
  if (!ESCAPED.test(text)) return `"${text}"`;
  if (notes === undefined && hasLoneSurrogate(text)) throw new Refusal("holds a lone surrogate");
  return JSON.stringify(text);
}

// Names of properties recur, and values hardly do. Looking a name up takes a third of the time of quoting it.
const quotedNames = new Map<string, string>();

function quoteName(name: string, notes?: ValueNotes): string {
  let text = quotedNames.get(name);
  if (text === undefined) {
    text = `${quote(name, notes)}:`;
    // Names with escapes are not kept, because some of those are allowed in values only.
    if (name.length < 64 && text.length === name.length + 3) {
      if (quotedNames.size === 500) quotedNames.clear();
      quotedNames.set(name, text);
    }
  }
  return text;
}

/** Sorts by UTF-16 code units. Objects mostly have few properties, often in order: then this beats the built-in sort. */
function sort(names: string[]): void {
  if (names.length > 16) names.sort();
  else {
    for (let i = 1; i < names.length; i++) {
      const name = names[i]!;
      let j = i;
      while (j > 0 && names[j - 1]! > name) names[j] = names[--j]!;
      names[j] = name;
    }
  }
}

function describe({ reason, around }: Refusal): string {
  let path = "";
  const seen = new Set<object>();
  for (const { owner, key } of around.reverse()) {
    if (reason === "" && seen.has(owner)) break;
    seen.add(owner);
    if (typeof key === "number") path += `[${key}]`;
    else if (key !== undefined) path += /^[\w$]+$/.test(key) ? `.${key}` : `[${JSON.stringify(key)}]`;
  }
  if (path.length > 300) path = `${path.slice(0, 300)}…`;
  return `${path} ${reason === "" ? "is part of a cycle" : reason}`;
}
