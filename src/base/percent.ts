/** Escaping of URLs (RFC 3986). */

/**
 * Percent-encodes all but the unreserved characters of RFC 3986, section 2.3, as signatures need it. `encodeURIComponent`
 * alone leaves five more as they are.
 */
export function percentEncode(text: string): string {
  return encodeURIComponent(text).replace(/[!'()*]/g, escapeChar);
}

/** Percent-encodes each segment of a path on its own: slashes stay. */
export function percentEncodePath(path: string): string {
  return encodeURIComponent(path).replace(/%2F|[!'()*]/g, (found) => (found === "%2F" ? "/" : escapeChar(found)));
}

/** Formats query parameters, each behind an `&`, in the order in which AWS signs them. */
export function formatQuery(query: Readonly<Record<string, string>> = {}): string {
  return Object.keys(query)
    .map((name) => `&${percentEncode(name)}=${percentEncode(query[name]!)}`)
    .sort()
    .join("");
}

/** Parses query parameters as `formatQuery` writes them, without the first `&`. */
export function parseQuery(text: string): Record<string, string> {
  const query: Record<string, string> = {};
  for (const pair of text.split("&")) {
    const equals = pair.indexOf("=");
    query[decodeURIComponent(pair.slice(0, equals))] = decodeURIComponent(pair.slice(equals + 1));
  }
  return query;
}

/** Decodes text in which a plus sign stands for a space, as in forms and in lists of S3. */
export function decodeFormText(text: string): string {
  return decodeURIComponent(text.replaceAll("+", " "));
}

function escapeChar(char: string): string {
  return `%${char.charCodeAt(0).toString(16).toUpperCase()}`;
}
