/** ETags (RFC 9110, section 8.8.3), which some stores send without quotes, and some proxies make weak. */

/** Returns an ETag in quotes, as S3 sends it; empty where there is none. */
export function quotedEtag(etag: string | undefined): string {
  return etag === undefined || etag === "" ? "" : `"${unquotedEtag(etag)}"`;
}

export function unquotedEtag(etag: string): string {
  return etag.replace(/^W\//, "").replaceAll('"', "");
}
