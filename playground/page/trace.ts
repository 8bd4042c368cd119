/** The work of one call, as spans of time: put together from the events of the cache and from what the network saw. */
import { onExchange, type Exchange } from "./network.js";
import type { Session } from "./session.js";

export type Lane = "memory" | "handler" | "bucket" | "function" | "server";

export interface Span {
  lane: Lane;
  label: string;
  /** Milliseconds since the call began. */
  startedAt: number;
  /** Undefined while it lasts. */
  endedAt: number | undefined;
  isFailure: boolean;
}

export interface Trace {
  spans: Span[];
  /** `performance.now()` */
  startedAt: number;
  /** Milliseconds that the call took; undefined while it lasts. */
  duration: number | undefined;
}

export interface Watch {
  trace: Trace;
  /** The layer that answered, as far as events of the cache tell. */
  readonly answeredBy: "memory" | "bucket" | "function" | undefined;
  end(): void;
}

/** Watches what is done about one key, from now on. */
export function watchKey(session: Session, key: string): Watch {
  const origin = performance.now();
  const trace: Trace = { spans: [], startedAt: origin, duration: undefined };
  const since = (instant: number): number => Math.max(0, instant - origin);
  let answeredBy: Watch["answeredBy"];

  const begin = (lane: Lane, label: string, startedAt: number): Span => {
    const span: Span = { lane, label, startedAt: since(startedAt), endedAt: undefined, isFailure: false };
    trace.spans.push(span);
    return span;
  };
  const memory = begin("memory", "looking", origin);
  const leaveMemory = (label: string, instant: number): void => {
    if (memory.endedAt !== undefined) return;
    memory.label = label;
    memory.endedAt = since(instant);
  };

  // An answer is read to its end before the cache says what it is worth.
  let reading: Span | undefined;
  const open = new Map<object, Span>();
  const onNetwork = (exchange: Exchange): void => {
    // The list of entries looks at metadata alone, which no call does.
    const subjects = exchange.subjects.filter(
      (subject) => subject.key.endsWith(key) && subject.operation.toLowerCase() !== "head",
    );
    if (subjects.length === 0) return;
    leaveMemory("miss", exchange.startedAt);
    let span = open.get(exchange);
    if (span === undefined) {
      const label = exchange.to === "handler" ? subjects.map(({ operation }) => operation).join(", ") : exchange.method;
      span = begin(exchange.to, label, exchange.startedAt);
      open.set(exchange, span);
      return;
    }
    span.endedAt = since(exchange.endedAt ?? performance.now());
    const { status } = exchange;
    span.isFailure = status === undefined || (status >= 400 && status !== 404 && status !== 412);
    if (exchange.to === "bucket") span.label = `${exchange.method} ${status ?? "failed"}`;
    if (exchange.to === "bucket" && exchange.method === "GET" && status === 200) reading = span;
  };

  const stops = [
    onExchange(onNetwork),
    session.events.on((event) => {
      if (event.key !== key) return;
      const now = performance.now();
      if (event.type === "hit") {
        answeredBy ??= event.source === "memory" ? "memory" : "bucket";
        if (event.source === "memory") leaveMemory("hit", now);
      }
      if ((event.type === "hit" || event.type === "miss") && reading !== undefined) {
        reading.endedAt = since(now);
        reading = undefined;
      }
    }),
    session.runs.on((run) => {
      let span = open.get(run);
      if (span === undefined) {
        leaveMemory("miss", run.startedAt);
        answeredBy = "function";
        span = begin("function", "computing", run.startedAt);
        open.set(run, span);
      } else {
        span.label = "computed";
        span.endedAt = since(run.endedAt ?? performance.now());
      }
    }),
  ];

  return {
    trace,
    get answeredBy() {
      return answeredBy;
    },
    end() {
      if (trace.duration !== undefined) return;
      for (const stop of stops) stop();
      const duration = performance.now() - origin;
      trace.duration = duration;
      leaveMemory(answeredBy === "memory" ? "hit" : "miss", performance.now());
      for (const span of trace.spans) span.endedAt ??= duration;
    },
  };
}
