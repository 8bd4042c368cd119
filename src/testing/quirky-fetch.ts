/** Faults of S3-compatible stores, put between a store of ours and any endpoint. */
import { wait } from "./wait.js";

/** How a store differs from S3. Each field stands for itself; together they make one strange store. */
export interface Quirks {
  /** ETags in headers and XML lose their quotes, or become weak ones (`W/"…"`). */
  etags?: "unquoted" | "weak";
  /**
   * Answers to `If-Match` and `If-None-Match` on a write or a delete: `"unquoted"` fails an ETag in quotes with 412
   * and takes one without, `"fail"` fails every condition with 412, and a number refuses every condition with that status.
   */
  conditions?: "unquoted" | "fail" | 400 | 501;
  /** A condition of a write that does not hold is answered with this status rather than 412. */
  failedConditions?: 304;
  /** `POST ?delete` is refused with this status, or demands the header `Content-MD5`. */
  batchDelete?: "content-md5" | 400 | 405 | 501;
  /** Pages of a list. */
  pages?: {
    /** Objects on a page. */
    size: number;
    /** A page that is truncated names no next token, or always the same one, which leads to the same page again. */
    token: "missing" | "repeated";
    /** `start-after` leads to the first page. */
    startAfter?: "ignored";
  };
  /**
   * An absent object is answered with 404 and no body, with a page of HTML, or with an XML error in another spelling:
   * attributes, white space, numeric entities. Applies to GET, and to DELETE of what is known to be absent.
   */
  absent?: "no-body" | "html" | "spelling";
  /** `"hidden"`: answers come in chunks, and do not announce their length. */
  lengths?: "hidden";
  /** Answers of 200 lose their body and every header of S3, as from a proxy that says yes to everything. */
  successes?: "empty";
  /** A whole object is answered as a part: `"partial"` gives 206 to a GET without a range, with the whole body. */
  wholes?: "partial";
  /** `"ignored"` answers 200 with the whole body; `"whole"` answers 206 with the whole body, and a range that fits it. */
  ranges?: "ignored" | "whole";
  /** XML ends in the middle, also where it is an error. */
  xml?: "cut";
  /** A GET whose query overrides a header of the answer is refused with this status, as moto does. */
  overrides?: 403;
  /** A key that continues another after a slash, or that another continues, is refused with 409: as on a file system. */
  keys?: "files";
  /** Time before a request is passed on. With `Infinity` it is never answered. */
  delayMs?: number;
}

/** A request that came through a {@link quirkyFetch}. */
export interface QuirkyRequest {
  /** The HTTP method. */
  method: string;
  /** The address, with its query. */
  url: string;
  /** Names in lower case. */
  headers: Record<string, string>;
  /** The status of the answer; undefined while there is none. */
  status: number | undefined;
}

/** A `fetch` with quirks. */
export interface QuirkyFetch {
  (input: string, init?: RequestInit): Promise<Response>;
  /** The quirks from now on; may be changed at any time. */
  quirks: Quirks;
  /** All requests so far, in order. */
  readonly requests: QuirkyRequest[];
  /** The number of answers that a quirk made or changed: a test that is about a quirk should find it above 0. */
  met: number;
}

interface Exchange {
  method: string;
  url: URL;
  headers: Record<string, string>;
  forward: (headers?: Record<string, string>) => Promise<Response>;
}

/**
 * Puts faults of S3-compatible stores in front of any S3 endpoint. Pass it as the `fetch` of `s3Store` or
 * `presignedStore`. It signs nothing: signed headers and queries reach the endpoint as they are, and only answers,
 * and headers that are not signed, change.
 *
 * @example
 * ```ts
 * import { createCache } from "bucketcache";
 * import { startDevServer } from "bucketcache/dev";
 * import { s3Store } from "bucketcache/s3";
 * import { quirkyFetch } from "bucketcache/testing";
 *
 * const server = await startDevServer();
 * const fetch = quirkyFetch({ conditions: 501, batchDelete: "content-md5" });
 * const cache = createCache({ store: s3Store({ bucket: "bucketcache", ...server, fetch }) });
 * await cache.getOrSet("key", () => 1);
 * console.log(fetch.met); // how many answers were strange
 * fetch.quirks = {}; // from here on an ordinary store
 * await server.close();
 * ```
 */
export function quirkyFetch(
  quirks: Quirks = {},
  inner: (input: string, init: RequestInit) => Promise<Response> = (input, init) => fetch(input, init),
): QuirkyFetch {
  const requests: QuirkyRequest[] = [];
  /** Paths that the endpoint does not have, as its last answer told. */
  const absent = new Set<string>();
  /** Paths that were written through here. */
  const written = new Set<string>();
  /** The last truncated page of each list, which the repeated token leads to. */
  const pagesByList = new Map<string, string>();

  const quirky = async (input: string, init: RequestInit = {}): Promise<Response> => {
    const method = init.method ?? "GET";
    const url = new URL(input);
    const headers = Object.fromEntries(new Headers(init.headers));
    const request: QuirkyRequest = { method, url: input, headers, status: undefined };
    requests.push(request);
    const forward = (changed = headers) => inner(input, { ...init, headers: changed });
    const answer = await answerOf({ method, url, headers, forward }, init.signal ?? undefined);
    request.status = answer.status;
    return answer;
  };
  const self: QuirkyFetch = Object.assign(quirky, { quirks, requests, met: 0 });

  async function answerOf(exchange: Exchange, signal: AbortSignal | undefined): Promise<Response> {
    const { delayMs } = self.quirks;
    if (delayMs !== undefined) {
      self.met++;
      await wait(delayMs, signal);
    }
    const refused = refusal(exchange, self.quirks, written);
    if (refused !== undefined) {
      self.met++;
      return refused;
    }
    const { method, url } = exchange;
    const wasAbsent = absent.has(url.pathname);
    const answer = await exchange.forward(forwarded(exchange, self.quirks));
    if (answer.status === 404 || (method === "DELETE" && answer.ok && !url.search.includes("uploadId"))) {
      absent.add(url.pathname);
      written.delete(url.pathname);
    } else if (answer.ok) {
      absent.delete(url.pathname);
      if (method === "PUT") written.add(url.pathname);
    }
    return changed(exchange, answer, method === "DELETE" && wasAbsent);
  }

  async function changed(exchange: Exchange, answer: Response, isGone: boolean): Promise<Response> {
    const { method, url, headers } = exchange;
    const { etags, failedConditions, pages, absent, lengths, successes, wholes, ranges, xml } = self.quirks;
    const isXml = (answer.headers.get("content-type") ?? "").includes("xml") && method !== "HEAD";
    const isRead = method === "GET" && !isBucketRequest(url);
    if (answer.status === 412 && failedConditions !== undefined && method !== "GET" && method !== "HEAD") {
      return meet(answer, { status: failedConditions, body: null });
    }
    if (absent !== undefined && ((answer.status === 404 && !(await namesBucket(answer))) || isGone)) {
      const body = method === "HEAD" ? null : ABSENT[absent];
      return meet(answer, { status: 404, body, type: absent === "html" ? "text/html" : "application/xml" });
    }
    if (successes === "empty" && answer.status === 200) {
      self.met++;
      await answer.body?.cancel();
      return new Response(null, { status: 200, headers: { "content-length": "0" } });
    }
    if (isXml && xml === "cut") {
      const text = await answer.text();
      return meet(answer, { body: text.slice(0, text.length / 2) });
    }
    if (pages !== undefined && url.searchParams.get("list-type") === "2") {
      const text = await answer.text();
      // The endpoint does not know the token.
      return meet(answer, { status: 200, body: page(url, text, pages) });
    }
    if (isRead && wholes === "partial" && answer.status === 200 && headers["range"] === undefined) {
      const size = Number(answer.headers.get("content-length"));
      return meet(answer, { status: 206, headers: { "content-range": `bytes 0-${size - 1}/${size}` } });
    }
    if (isRead && ranges !== undefined && headers["range"] !== undefined && answer.status === 200) {
      self.met++;
      if (ranges === "ignored") return answer;
      const size = answer.headers.get("content-length") ?? "";
      const first = /^bytes=(\d+)-/.exec(headers["range"])?.[1] ?? "0";
      return copy(answer, { status: 206, headers: { "content-range": `bytes ${first}-${Number(size) - 1}/${size}` } });
    }
    if (lengths === "hidden" && answer.headers.has("content-length")) {
      return meet(answer, { headers: { "content-length": undefined } });
    }
    if (etags !== undefined) {
      const spell = etags === "weak" ? (tag: string) => `W/"${tag}"` : (tag: string) => tag;
      const etag = answer.headers.get("etag");
      const body = isXml
        ? (await answer.text()).replace(ETAG_IN_XML, (_, tag: string) => xmlText(spell(tag)))
        : undefined;
      if (etag === null && body === undefined) return answer;
      return meet(answer, {
        ...(body !== undefined && { body }),
        ...(etag !== null && { headers: { etag: spell(etag.replace(/"/g, "")) } }),
      });
    }
    return answer;
  }

  function meet(answer: Response, change: Change): Response {
    self.met++;
    return copy(answer, change);
  }

  /** Cuts a list off, as `pages` says. */
  function page(url: URL, xml: string, { size, token, startAfter }: NonNullable<Quirks["pages"]>): string {
    const query = url.searchParams;
    const isRepeated = query.has("continuation-token") || (startAfter === "ignored" && query.has("start-after"));
    const list = `${url.pathname} ${query.get("prefix") ?? ""}`;
    const last = pagesByList.get(list);
    if (isRepeated && last !== undefined) return last;
    if ((xml.match(CONTENTS) ?? []).length <= size) return xml;
    const next = token === "missing" ? "" : "<NextContinuationToken>again</NextContinuationToken>";
    let kept = 0;
    const cut = xml
      .replace(CONTENTS, (object) => (kept++ < size ? object : ""))
      .replace(/<NextContinuationToken>.*?<\/NextContinuationToken>/s, "")
      .replace(/<IsTruncated>.*?<\/IsTruncated>/s, `<IsTruncated>true</IsTruncated>${next}`);
    pagesByList.set(list, cut);
    return cut;
  }

  return self;
}

interface Change {
  status?: number;
  body?: string | null;
  type?: string;
  headers?: Record<string, string | undefined>;
}

function copy(answer: Response, change: Change): Response {
  const headers = new Headers(answer.headers);
  const { body = answer.body, status = answer.status } = change;
  if (typeof body === "string") headers.set("content-length", String(new TextEncoder().encode(body).byteLength));
  if (body === null) headers.delete("content-length");
  if (body !== answer.body) void answer.body?.cancel().catch(() => {});
  if (change.type !== undefined) headers.set("content-type", change.type);
  for (const [name, value] of Object.entries(change.headers ?? {})) {
    if (value === undefined) headers.delete(name);
    else headers.set(name, value);
  }
  return new Response(body, { status, headers });
}

/** Requests that a quirk refuses before they reach the endpoint. */
function refusal(
  { method, url, headers }: Exchange,
  quirks: Quirks,
  written: ReadonlySet<string>,
): Response | undefined {
  const isWrite = method !== "GET" && method !== "HEAD";
  const condition = headers["if-match"] ?? headers["if-none-match"];
  const { conditions, batchDelete, overrides } = quirks;
  if (isWrite && condition !== undefined && conditions !== undefined) {
    if (conditions === 501) return xmlError(501, "NotImplemented", "A header you provided is not implemented");
    if (conditions === 400) return xmlError(400, "InvalidArgument", "Invalid argument.");
    if (conditions === "fail" || condition.includes('"'))
      return xmlError(412, "PreconditionFailed", "Precondition Failed");
  }
  if (quirks.keys === "files" && method === "PUT") {
    const path = url.pathname;
    const others = [...written];
    if (others.some((other) => path.startsWith(`${other}/`)))
      return xmlError(409, "ObjectParentIsFile", "Parent is a file.");
    if (others.some((other) => other.startsWith(`${path}/`))) {
      return xmlError(409, "ExistingObjectIsDirectory", "Existing object is a directory.");
    }
  }
  if (batchDelete !== undefined && method === "POST" && url.searchParams.has("delete")) {
    if (batchDelete === "content-md5") {
      if (headers["content-md5"] !== undefined) return undefined;
      return xmlError(400, "InvalidRequest", "Missing required header for this request: Content-MD5");
    }
    if (batchDelete === 400) return xmlError(400, "InvalidArgument", "Invalid argument.");
    return batchDelete === 405
      ? xmlError(405, "MethodNotAllowed", "The specified method is not allowed against this resource.")
      : xmlError(501, "NotImplemented", "POST ?delete is not implemented for objects.");
  }
  const isOverridden = [...url.searchParams.keys()].some((name) => name.startsWith("response-"));
  if (overrides !== undefined && method === "GET" && isOverridden) {
    return xmlError(overrides, "SignatureDoesNotMatch", "The request signature does not match.");
  }
  return undefined;
}

/** The headers that are passed on: those that no signature covers may change. */
function forwarded({ method, headers }: Exchange, quirks: Quirks): Record<string, string> {
  const { ranges } = quirks;
  if (method !== "GET" || ranges === undefined) return headers;
  const { range: _, ...rest } = headers;
  return rest;
}

const ABSENT: Record<NonNullable<Quirks["absent"]>, string | null> = {
  "no-body": null,
  html: "<!DOCTYPE html><html><head><title>404</title></head><body><h1>Not Found</h1></body></html>",
  spelling:
    '<?xml version="1.0"?>\n<Error xmlns="urn:test">\n  <Code\n  lang="en"> NoSuchKey </Code>\n  <Message>There isn&#39;t such a key.</Message>\n</Error>',
};

const CONTENTS = /<Contents>.*?<\/Contents>/gs;

const ETAG_IN_XML = /(?<=<ETag>)(?:"|&quot;|&#34;)?([^<"&]*)(?:"|&quot;|&#34;)?(?=<\/ETag>)/g;

/** Whether the request is about the bucket or an upload rather than the bytes of an object. */
function isBucketRequest(url: URL): boolean {
  return ["list-type", "uploadId", "uploads", "delete"].some((name) => url.searchParams.has(name));
}

/** Reads a copy: the answer itself stays unread. */
async function namesBucket(answer: Response): Promise<boolean> {
  return /NoSuchBucket|NoSuchUpload/.test(await answer.clone().text());
}

function xmlError(status: number, code: string, message: string): Response {
  const body = `<?xml version="1.0" encoding="UTF-8"?><Error><Code>${code}</Code><Message>${message}</Message></Error>`;
  const headers = { "content-type": "application/xml", "content-length": String(body.length) };
  return new Response(body, { status, headers });
}

function xmlText(text: string): string {
  return text.replaceAll('"', "&quot;");
}
