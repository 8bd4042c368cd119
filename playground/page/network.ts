/** The `fetch` that the store is given: it tells what passes, and spoils it as the knobs say. */
import { Emitter } from "./emitter.js";
import { knobs } from "./knobs.js";

/** One request, from its start; what is not known yet is undefined. */
export interface Exchange {
  /** The presign handler, or the bucket. */
  to: "handler" | "bucket";
  method: string;
  /** Operations and keys that the request is about: for the handler, those of the whole batch. */
  subjects: readonly { operation: string; key: string }[];
  /** `performance.now()` */
  startedAt: number;
  endedAt: number | undefined;
  /** Undefined when there was no answer. */
  status: number | undefined;
}

const exchanges = new Emitter<Exchange>();

/** Tells of each request twice: when it starts, and when its answer's headers are here. */
export const onExchange = (listener: (exchange: Exchange) => void) => exchanges.on(listener);

export async function observedFetch(input: RequestInfo | URL, init?: RequestInit): Promise<Response> {
  const url = new URL(input instanceof Request ? input.url : input, location.href);
  const method = init?.method ?? (input instanceof Request ? input.method : "GET");
  const to = url.origin === location.origin ? "handler" : "bucket";
  const exchange: Exchange = {
    to,
    method,
    subjects: to === "handler" ? subjectsOf(init?.body) : [{ operation: method, key: keyOf(url) }],
    startedAt: performance.now(),
    endedAt: undefined,
    status: undefined,
  };
  exchanges.emit(exchange);
  try {
    const response = (await spoil(to, init?.signal)) ?? (await window.fetch(input, init));
    exchange.status = response.status;
    return response;
  } finally {
    exchange.endedAt = performance.now();
    exchanges.emit(exchange);
  }
}

/** Instead of an answer: what the knobs have in mind for this request, or undefined when it may go. */
async function spoil(to: Exchange["to"], signal: AbortSignal | null | undefined): Promise<Response | undefined> {
  if (to === "handler") return undefined;
  const { trouble } = knobs;
  if (trouble === "slow") await pause(1_000, signal);
  if (trouble === "down" || (trouble === "flaky" && Math.random() < 0.5)) {
    await pause(60, signal);
    const body = "<Error><Code>ServiceUnavailable</Code><Message>A knob of the playground says so.</Message></Error>";
    return new Response(body, { status: 503, headers: { "content-type": "application/xml" } });
  }
  return undefined;
}

function pause(ms: number, signal: AbortSignal | null | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, ms);
    signal?.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(signal.reason as Error);
    });
  });
}

function subjectsOf(body: BodyInit | null | undefined): Exchange["subjects"] {
  const text = body instanceof Uint8Array ? new TextDecoder().decode(body) : body;
  if (typeof text !== "string") return [];
  const { requests = [] } = JSON.parse(text) as { requests?: { op: string; key: string }[] };
  return requests.map(({ op, key }) => ({ operation: op, key }));
}

/** With the bucket before it where the store has paths: whoever looks for a key compares the end. */
function keyOf(url: URL): string {
  return decodeURIComponent(url.pathname.slice(1));
}
