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

function escapeChar(char: string): string {
  return `%${char.charCodeAt(0).toString(16).toUpperCase()}`;
}
