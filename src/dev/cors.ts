import type { IncomingMessage } from "node:http";
import { receiveSmallBody } from "./body.js";
import { S3Error } from "./errors.js";
import { emptyReply, xmlReply, type Context, type Reply } from "./reply.js";
import type { Bucket, CorsRule } from "./storage.js";
import { childrenOf, parseXml, tag, textOf } from "./xml.js";

const METHODS = ["GET", "PUT", "POST", "DELETE", "HEAD"];
const MAX_RULES = 100;
const MAX_CONFIGURATION = 64 * 1024;
const VARY = "Origin, Access-Control-Request-Headers, Access-Control-Request-Method";

/** Returns the CORS headers of an answer: those of the first rule that fits, and none at all when none does. */
export function corsHeaders(request: IncomingMessage, bucket: Bucket | undefined): Record<string, string> {
  const { origin } = request.headers;
  const method = request.method ?? "";
  if (origin === undefined || bucket?.cors === undefined) return {};
  const rule = bucket.cors.find((each) => each.methods.includes(method) && allowsOrigin(each, origin));
  return rule === undefined ? {} : ruleHeaders(rule, origin);
}

/** Answers a preflight request, which is never signed. */
export function preflight(request: IncomingMessage, bucket: Bucket | undefined): Reply {
  const { origin } = request.headers;
  const method = request.headers["access-control-request-method"];
  if (origin === undefined) throw new S3Error("BadRequest", "Insufficient information. Origin request header needed.");
  if (method === undefined) {
    throw new S3Error("BadRequest", "Invalid Access-Control-Request-Method: null");
  }
  if (bucket?.cors === undefined) {
    throw new S3Error("AccessForbidden", "CORSResponse: CORS is not enabled for this bucket.", {
      Method: method,
      ResourceType: "BUCKET",
    });
  }
  const headers = (request.headers["access-control-request-headers"] ?? "")
    .split(",")
    .map((name) => name.trim().toLowerCase())
    .filter((name) => name !== "");
  const rule = bucket.cors.find(
    (each) =>
      each.methods.includes(method) && allowsOrigin(each, origin) && headers.every((name) => allowsHeader(each, name)),
  );
  if (rule === undefined) {
    throw new S3Error(
      "AccessForbidden",
      "CORSResponse: This CORS request is not allowed. This is usually because the evalution of Origin, request method / Access-Control-Request-Method or Access-Control-Request-Headers are not whitelisted by the resource's CORS spec.",
      { Method: method, ResourceType: "OBJECT" },
    );
  }
  const answer = ruleHeaders(rule, origin);
  if (headers.length > 0) answer["access-control-allow-headers"] = headers.join(", ");
  return emptyReply(200, answer);
}

function ruleHeaders(rule: CorsRule, origin: string): Record<string, string> {
  const any = rule.origins.includes("*");
  const headers: Record<string, string> = {
    "access-control-allow-origin": any ? "*" : origin,
    "access-control-allow-methods": rule.methods.join(", "),
    vary: VARY,
  };
  if (!any) headers["access-control-allow-credentials"] = "true";
  if (rule.expose.length > 0) headers["access-control-expose-headers"] = rule.expose.join(", ");
  if (rule.maxAge !== undefined) headers["access-control-max-age"] = String(rule.maxAge);
  return headers;
}

function allowsOrigin(rule: CorsRule, origin: string): boolean {
  return rule.origins.some((pattern) => matchesPattern(pattern, origin));
}

function allowsHeader(rule: CorsRule, name: string): boolean {
  return rule.headers.some((pattern) => matchesPattern(pattern.toLowerCase(), name));
}

/** Matches a pattern in which one `*` stands for any run of characters. */
function matchesPattern(pattern: string, text: string): boolean {
  const star = pattern.indexOf("*");
  if (star < 0) return pattern === text;
  const before = pattern.slice(0, star);
  const after = pattern.slice(star + 1);
  return text.length >= before.length + after.length && text.startsWith(before) && text.endsWith(after);
}

export async function putCors({ request, storage }: Context): Promise<Reply> {
  const bucket = storage.bucket(request.bucket ?? "");
  const root = parseXml(await receiveSmallBody(request, { maxBytes: MAX_CONFIGURATION }));
  const rules = childrenOf(root, "CORSRule");
  if (root.name !== "CORSConfiguration" || rules.length === 0 || rules.length > MAX_RULES) {
    throw new S3Error("MalformedXML");
  }
  bucket.setCors(
    rules.map((rule) => {
      const texts = (name: string): string[] => childrenOf(rule, name).map(({ text }) => text.trim());
      const maxAge = textOf(rule, "MaxAgeSeconds");
      const parsed: CorsRule = {
        id: textOf(rule, "ID"),
        origins: texts("AllowedOrigin"),
        methods: texts("AllowedMethod"),
        headers: texts("AllowedHeader"),
        expose: texts("ExposeHeader"),
        maxAge: maxAge === undefined ? undefined : Number(maxAge),
      };
      checkRule(parsed);
      return parsed;
    }),
  );
  return emptyReply(200);
}

function checkRule(rule: CorsRule): void {
  if (rule.origins.length === 0 || rule.methods.length === 0) throw new S3Error("MalformedXML");
  if (rule.maxAge !== undefined && !(Number.isInteger(rule.maxAge) && rule.maxAge >= 0))
    throw new S3Error("MalformedXML");
  const method = rule.methods.find((each) => !METHODS.includes(each));
  if (method !== undefined) {
    throw new S3Error(
      "InvalidRequest",
      `Found unsupported HTTP method in CORS config. Unsupported method is ${method}`,
    );
  }
  for (const [name, values] of [
    ["AllowedOrigin", rule.origins],
    ["AllowedHeader", rule.headers],
  ] as const) {
    const wild = values.find((value) => value.split("*").length > 2);
    if (wild !== undefined) {
      throw new S3Error("InvalidRequest", `${name} "${wild}" can not have more than one wildcard.`);
    }
  }
  const wild = rule.expose.find((value) => value.includes("*"));
  if (wild !== undefined) {
    throw new S3Error(
      "InvalidRequest",
      `ExposeHeader "${wild}" contains wildcard. We currently do not support wildcard for ExposeHeader.`,
    );
  }
}

export function getCors({ request, storage }: Context): Reply {
  const bucket = storage.bucket(request.bucket ?? "");
  if (bucket.cors === undefined) {
    throw new S3Error("NoSuchCORSConfiguration", undefined, { BucketName: bucket.name });
  }
  const texts = (name: string, values: readonly string[]): string => values.map((value) => tag(name, value)).join("");
  const inner = bucket.cors.map(
    (rule) =>
      `<CORSRule>${
        tag("ID", rule.id) +
        texts("AllowedOrigin", rule.origins) +
        texts("AllowedMethod", rule.methods) +
        texts("AllowedHeader", rule.headers) +
        texts("ExposeHeader", rule.expose) +
        tag("MaxAgeSeconds", rule.maxAge)
      }</CORSRule>`,
  );
  return xmlReply("CORSConfiguration", inner.join(""));
}

export function deleteCors({ request, storage }: Context): Reply {
  storage.bucket(request.bucket ?? "").setCors(undefined);
  return emptyReply(204);
}
