/** Requests of the page to its own server, apart from those for grants. */
import type { Call } from "./questions.js";

export interface Info {
  bucket: string;
  endpoint: string;
  /** Prefix of all object keys of the playground. */
  prefix: string;
  /** Bytes of the largest upload. */
  maxBytes: number;
  /** How many places each country has. */
  countries: Record<string, number>;
  /** The server's time, Unix seconds. */
  now: number;
}

/** Measurements of a function call on the server. */
export interface ServerCall {
  answeredBy: "function" | "bucket" | "memory";
  ms: number;
  wireBytes: number;
  requests: string[];
}

let serverTime = { at: 0, seconds: 0 };

export async function loadInfo(): Promise<Info> {
  const info = await ask<Info>("/api/info");
  serverTime = { at: performance.now(), seconds: info.now };
  return info;
}

/** Unix seconds by the server's clock, whatever the page's own says. */
export function serverNow(): number {
  return serverTime.seconds + (performance.now() - serverTime.at) / 1_000;
}

export async function callOnServer({ name, args }: Call): Promise<ServerCall> {
  const { call } = await ask<{ call: ServerCall }>("/api/call", { name, args });
  return call;
}

/** A new process for the server's calls: its memory is empty. */
export async function restartServer(): Promise<void> {
  await ask("/api/restart", {});
}

/** A link to the plain content of an entry, for programs that know nothing of this cache. */
export async function plainLink(key: string): Promise<string> {
  const { url } = await ask<{ url: string }>("/api/link", { key });
  return url;
}

async function ask<T>(path: string, body?: object): Promise<T> {
  const response = await window
    .fetch(path, {
      cache: "no-store",
      ...(body && { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) }),
    })
    .catch((error: unknown) => {
      throw new Error("The playground's server cannot be reached.", { cause: error });
    });
  const answer = (await response.json()) as T & { error?: string };
  if (!response.ok) throw new Error(answer.error ?? `The server answered ${response.status}.`);
  return answer;
}
