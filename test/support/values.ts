/** One value of each kind that a cache keeps, and what comes back where that is not the same. */
export function kindsOfValues(): Record<
  string,
  { value: unknown; back?: unknown; codec: string; contentType: string }
> {
  const json = { codec: "json", contentType: "application/json" };
  const text = { codec: "text", contentType: "text/plain; charset=utf-8" };
  const bytes = { codec: "bytes", contentType: "application/octet-stream" };
  const tagged = { codec: "tagged", contentType: "application/vnd.bucketcache+json" };
  return {
    null: { value: null, ...json },
    true: { value: true, ...json },
    zero: { value: 0, ...json },
    "a number": { value: -1.5e-7, ...json },
    "an object": { value: { a: [1, { b: null }], "ü ": "😀" }, ...json },
    "an empty object": { value: {}, ...json },
    "an empty array": { value: [], ...json },
    "an object with __proto__": { value: JSON.parse('{"__proto__":{"a":1},"b":2}'), ...json },
    "a string": { value: "größe", ...text },
    "an empty string": { value: "", ...text },
    "a string of digits": { value: "123", ...text },
    "a string of JSON": { value: '{"a":1}', ...text },
    "a string with a byte order mark": { value: "\uFEFFa", ...text },
    "a string with a lone surrogate": { value: "a\uD800", ...tagged },
    "a long string": { value: "läng ".repeat(5_000), ...text },
    bytes: { value: Uint8Array.of(0, 255, 31, 139), ...bytes },
    "no bytes": { value: new Uint8Array(), ...bytes },
    "an ArrayBuffer": { value: Uint8Array.of(1, 2).buffer, back: Uint8Array.of(1, 2), ...bytes },
    undefined: { value: undefined, ...tagged },
    NaN: { value: NaN, ...tagged },
    "minus infinity": { value: -Infinity, ...tagged },
    "a bigint": { value: -(2n ** 80n), ...tagged },
    "a Date": { value: new Date(1795310019460), ...tagged },
    "a Map": { value: new Map<unknown, unknown>([[{ a: 1 }, new Set([1, "1"])]]), ...tagged },
    "a URL": { value: new URL("https://example.com/?a=ü"), ...tagged },
    "a RegExp": { value: /a\/b/giu, ...tagged },
    "typed arrays within": { value: { f: Float64Array.of(1.5), u: Uint8Array.of(7) }, ...tagged },
    "what looks like a tag": { value: [{ $$Date: 1 }, { $$: 1 }], codec: "json", contentType: "application/json" },
    "a class with toJSON": { value: { at: new URLString("x") }, back: { at: "x" }, ...json },
  };
}

class URLString {
  readonly #text: string;
  constructor(text: string) {
    this.#text = text;
  }
  toJSON(): string {
    return this.#text;
  }
}
