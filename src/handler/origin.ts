/** Decides which pages may ask: those of the handler's own origin, and of the allowed origins. */

/** @throws TypeError for a text that no `Origin` header can hold, and so would never match */
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
 * Tells whether a request comes from a page that may ask, or from no page at all. Browsers send `Origin` with every POST.
 * A site that shares only a domain with the handler (`same-site`) is a stranger.
 */
export function isWelcome(request: Request, allowed: ReadonlySet<string>): boolean {
  const origin = request.headers.get("origin");
  const site = request.headers.get("sec-fetch-site");
  if (origin !== null && allowed.has(origin)) return true;
  if (site !== null && site !== "same-origin") return false;
  return origin === null || origin === new URL(request.url).origin;
}

/** Returns the headers that let a page read the answer. */
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

/** Answers a preflight request. */
export function preflight(request: Request): Response {
  const asked = request.headers.get("access-control-request-headers") ?? "content-type";
  return new Response(null, {
    status: 204,
    headers: {
      ...corsHeaders(request),
      "access-control-allow-methods": "POST",
      // Headers of the page's own, a token say, are between the page and `authorize`.
      "access-control-allow-headers": /^[\w!#$%&'*+.^`|~, -]{1,1024}$/.test(asked) ? asked : "content-type",
      "access-control-max-age": "600",
    },
  });
}
