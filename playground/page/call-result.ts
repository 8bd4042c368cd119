/** Shows what calls did: time lines, steps, latencies, the answer. */
import { animate, byId } from "./dom.js";
import { formatBytes, formatDuration, formatFactor } from "./format.js";
import { addSample, drawLatency, type Source } from "./latency.js";
import type { ServerCall } from "./server.js";
import { drawTimeline, listSteps } from "./timeline.js";
import type { Lane, Trace, Watch } from "./trace.js";

const HERE: readonly Lane[] = ["memory", "handler", "bucket", "function"];
const THERE: readonly Lane[] = ["memory", "bucket", "function"];
const ANSWER_SHOWN = 4_000;

const timeline = byId("here-timeline", HTMLElement);
const serverTimeline = byId("there-timeline", HTMLElement);
const latency = byId("latency", HTMLElement);
const result = byId("here-result", HTMLElement);

let shown: Trace | undefined;
let shownThere: Trace | undefined;
/** The last time that somebody computed: what the others are compared with. */
let computedMs: number | undefined;

/** Draws what is known so far, until the result is called. */
export function showWhileRunning(watch: Watch): () => void {
  shown = watch.trace;
  result.textContent = "";
  const draw = (): void => {
    drawTimeline(timeline, watch.trace, HERE);
    listSteps(byId("here-steps", HTMLElement), watch.trace);
  };
  const stop = animate(draw);
  return () => {
    stop();
    draw();
  };
}

export function showCalled(watch: Watch, answer: unknown): void {
  const ms = watch.trace.duration ?? 0;
  const answeredBy = watch.answeredBy ?? "memory";
  result.textContent = headline(answeredBy, ms);
  count(answeredBy, "page", ms);
  const json = JSON.stringify(answer, null, 1);
  byId("answer-size", HTMLElement).textContent = `(${formatBytes(json.length)} of JSON)`;
  byId("answer", HTMLElement).textContent =
    json.length > ANSWER_SHOWN ? `${json.slice(0, ANSWER_SHOWN)}\n… and more` : json;
}

/** The server tells how long it took and who answered; how that time was spent only its requests tell. */
export function showServerCall({ answeredBy, ms, wireBytes, requests }: ServerCall, roundTrip: number): void {
  const lane: Lane = answeredBy;
  const wire = requests.length === 0 ? "" : ` · ${requests.join(" ")}, ${formatBytes(wireBytes)}`;
  shownThere = {
    startedAt: 0,
    duration: ms,
    spans: [{ lane, label: `answered${wire}`, startedAt: 0, endedAt: ms, isFailure: false }],
  };
  byId("there-result", HTMLElement).textContent = headline(answeredBy, ms);
  listSteps(byId("there-steps", HTMLElement), {
    ...shownThere,
    spans: [
      ...shownThere.spans,
      {
        lane: "server",
        label: "there and back",
        startedAt: 0,
        endedAt: roundTrip,
        isFailure: false,
      },
    ],
  });
  drawTimeline(serverTimeline, shownThere, THERE);
  count(answeredBy, "server", ms);
}

function headline(answeredBy: Source, ms: number): string {
  const gain = computedMs !== undefined && answeredBy !== "function" && computedMs > ms * 1.5;
  return `${{ memory: "from memory", bucket: "from the bucket", function: "computed" }[answeredBy]} in ${formatDuration(ms)}${
    gain ? `, ${formatFactor(computedMs! / ms)} faster` : ""
  }`;
}

function count(source: Source, where: "page" | "server", ms: number): void {
  if (source === "function") computedMs = ms;
  addSample({ source, where, ms });
  drawLatency(latency);
}

/** At the start, and again whenever the room changes. */
export function drawFigures(): void {
  drawTimeline(timeline, shown, HERE);
  drawTimeline(serverTimeline, shownThere, THERE);
  drawLatency(latency);
}

let width = 0;
new ResizeObserver(() => {
  if (latency.clientWidth === width) return;
  width = latency.clientWidth;
  drawFigures();
}).observe(latency);
