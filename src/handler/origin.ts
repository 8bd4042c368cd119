/** Which pages may ask: those of the handler's own origin, and of those it was told. */

/** @throws TypeError for what no `Origin` header can say, which would never match. */
export function checkOrigins(origins: readonly string[]): ReadonlySet<string> {
  for (const origin of origins) {
    const web = /^https?:/.test(origin) && URL.canParse(origin) ? new URL(origin).origin : origin;
    if (!/^[a-z][a-z0-9+.-]*:\/\/[^/?#*\s,]+$/.test(origin) || web !== origin) {
      throw new TypeError(
        `allowedOrigins takes whole origins such as "https://app.example.com", without wildcard, path or default port; got ${JSON.stringify(origin)}`,
      );
    }
  }
  return new Set(origins);
}

/**
 * Whether a request comes from a page that may ask, or from no page at all. Browsers send `Origin` with every POST; a
 * site that shares only a domain with the handler (`same-site`) is a stranger.
 */
export function isWelcome(request: Request, allowed: ReadonlySet<string>): boolean {
  const origin = request.headers.get("origin");
  const site = request.headers.get("sec-fetch-site");
  if (origin !== null && allowed.has(origin)) return true;
  if (site !== null && site !== "same-origin") return false;
  return origin === null || origin === new URL(request.url).origin;
}

/** What lets a page that may ask read the answer. */
export function corsHeaders(request: Request): Record<string, string> {
  const origin = request.headers.get("origin");
  return {
    vary: "origin",
    ...(origin !== null && {
      "access-control-allow-origin": origin,
      "access-control-allow-credentials": "true",
    }),
  };
}

/** The answer to a preflight request. */
export function preflight(request: Request): Response {
  const asked = request.headers.get("access-control-request-headers") ?? "content-type";
  return new Response(null, {
    status: 204,
    headers: {
      ...corsHeaders(request),
      "access-control-allow-methods": "POST",
      // The page's own headers (a token, say) are between it and `authorize`.
      "access-control-allow-headers": /^[\w!#$%&'*+.^`|~, -]{1,1024}$/.test(asked) ? asked : "content-type",
      "access-control-max-age": "600",
    },
  });
}
