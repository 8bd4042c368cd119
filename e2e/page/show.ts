/** A value as text that tells apart whatever differs, of any realm: what two sides compare without a word of ours. */
export function show(value: unknown): string {
  const kind = Object.prototype.toString.call(value).slice(8, -1);
  if (typeof value === "string") return JSON.stringify(value);
  if (typeof value === "bigint") return `${value}n`;
  if (typeof value !== "object" || value === null) return Object.is(value, -0) ? "-0" : String(value);
  if (value instanceof Date) return `Date ${value.getTime()}`;
  if (value instanceof Map) return `Map ${list([...value].map(([key, item]) => `${show(key)} => ${show(item)}`))}`;
  if (value instanceof Set) return `Set ${list([...value].map(show))}`;
  if (ArrayBuffer.isView(value)) return `${kind} ${list(Array.from(value as Uint8Array, String))}`;
  if (Array.isArray(value)) return list(value.map(show));
  if (kind === "Object")
    return `Object ${list(Object.keys(value).map((name) => `${name}: ${show((value as never)[name])}`))}`;
  return `${kind} ${String(value)}`;
}

function list(items: string[]): string {
  return `[${items.join(", ")}]`;
}
