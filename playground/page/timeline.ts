/** Draws a trace: a lane for each layer, time from left to right. */
import { el, svg } from "./dom.js";
import { formatDuration } from "./format.js";
import type { Lane, Span, Trace } from "./trace.js";

export const LANE_NAMES: Record<Lane, string> = {
  memory: "Memory",
  handler: "Grants",
  bucket: "Bucket",
  function: "Function",
  server: "Server",
};

const ROW = 30;
const LABELS = 74;
const AXIS = 22;
/** A span is never thinner than this: a hit in memory would not be seen. */
const THINNEST = 4;
const LETTER = 6.4;

export function drawTimeline(into: HTMLElement, trace: Trace | undefined, lanes: readonly Lane[]): void {
  const width = Math.max(240, into.clientWidth);
  const height = lanes.length * ROW + AXIS;
  const spans = trace?.spans ?? [];
  const total = Math.max(0.02, trace?.duration ?? (trace === undefined ? 0 : performance.now() - trace.startedAt));
  const track = width - LABELS - 8;
  const x = (ms: number): number => LABELS + (track * Math.min(ms, total)) / total;

  const drawing = svg("svg", {
    viewBox: `0 0 ${width} ${height}`,
    width,
    height,
    role: "img",
    "aria-label": trace === undefined ? "Nothing has been called yet." : describe(spans, trace.duration),
  });
  lanes.forEach((lane, row) => {
    const y = row * ROW;
    drawing.append(
      svg("text", { x: 0, y: y + 19, class: "lane" }, LANE_NAMES[lane]),
      svg("rect", { x: LABELS, y: y + 4, width: track, height: ROW - 8, class: "track", rx: 4 }),
    );
  });
  // Before the bars, whose labels no line shall cross.
  if (trace !== undefined) drawing.append(...axis(total, x, lanes.length * ROW));
  lanes.forEach((lane, row) => {
    const y = row * ROW;
    const own = spans.filter((span) => span.lane === lane);
    for (const span of own) {
      const left = x(span.startedAt);
      const right = x(span.endedAt ?? total);
      const bar = { x: Math.min(left, LABELS + track - THINNEST), y: y + 4, height: ROW - 8, rx: 3 };
      drawing.append(
        svg("rect", {
          ...bar,
          width: Math.max(THINNEST, right - left),
          class: `span ${lane}${span.isFailure ? " failed" : ""}`,
        }),
      );
    }
    if (own.length > 0) drawing.append(labelOf(own, { y, x, total, from: LABELS, to: LABELS + track }));
  });
  into.replaceChildren(drawing);
}

interface Place {
  y: number;
  x: (ms: number) => number;
  total: number;
  from: number;
  to: number;
}

/** Writes beside the bars of a lane what it did and for how long: after the last bar if there is room. */
function labelOf(own: readonly Span[], { y, x, total, from, to }: Place): SVGTextElement {
  const busy = own.reduce((sum, { startedAt, endedAt }) => sum + (endedAt ?? total) - startedAt, 0);
  const last = own[own.length - 1]?.label ?? "";
  const text = `${own.length > 1 ? `${own.length} × ` : ""}${last} · ${formatDuration(busy)}`;
  const room = text.length * LETTER + 12;
  let free = from;
  const gaps: [left: number, right: number][] = [];
  for (const span of own) {
    gaps.push([free, x(span.startedAt)]);
    free = Math.max(free, x(span.endedAt ?? total), x(span.startedAt) + THINNEST);
  }
  gaps.push([free, to]);
  const gap = gaps.reverse().find(([left, right]) => right - left >= room);
  if (gap === undefined) {
    const wide = own.find((span) => x(span.endedAt ?? total) - x(span.startedAt) >= room);
    const right = wide === undefined ? to : x(wide.endedAt ?? total);
    const kind = wide === undefined ? "over" : "inside";
    return svg("text", { x: right - 6, y: y + 19, class: `label ${kind}`, "text-anchor": "end" }, text);
  }
  const isBefore = gap[1] < to;
  return svg(
    "text",
    { x: isBefore ? gap[1] - 6 : gap[0] + 6, y: y + 19, class: "label", "text-anchor": isBefore ? "end" : "start" },
    text,
  );
}

function axis(total: number, x: (ms: number) => number, y: number): SVGElement[] {
  const step = niceStep(total / 3);
  const marks: SVGElement[] = [];
  for (let at = 0; at <= total; at += step) {
    marks.push(
      svg("line", { x1: x(at), x2: x(at), y1: 0, y2: y, class: "grid" }),
      svg("text", { x: x(at), y: y + 15, class: "tick", "text-anchor": at === 0 ? "start" : "middle" }, tick(at)),
    );
    if (x(at + step) > x(total) - 20) break;
  }
  return marks;
}

function tick(ms: number): string {
  if (ms === 0) return "0";
  return formatDuration(ms).replace(/\.0+ |(\.\d*[1-9])0+ /, "$1 ");
}

function niceStep(rough: number): number {
  const power = 10 ** Math.floor(Math.log10(rough));
  const factor = [1, 2, 5, 10].find((each) => each * power >= rough) ?? 10;
  return factor * power;
}

function describe(spans: readonly Span[], duration: number | undefined): string {
  return `${spans.map((span) => `${LANE_NAMES[span.lane]}: ${stepText(span)}`).join(". ")}${
    duration === undefined ? "" : `. ${formatDuration(duration)} in all`
  }.`;
}

function stepText({ label, startedAt, endedAt }: Span): string {
  return endedAt === undefined ? `${label} …` : `${label}, ${formatDuration(endedAt - startedAt)}`;
}

/** The same in words. */
export function listSteps(into: HTMLElement, trace: Trace): void {
  into.replaceChildren(
    ...trace.spans.map((span) =>
      el(
        "li",
        { "data-lane": span.lane, class: span.isFailure ? "failed" : undefined },
        el("span", { class: `dot ${span.lane}`, "aria-hidden": "true" }),
        el("b", {}, LANE_NAMES[span.lane]),
        ` ${stepText(span)}`,
      ),
    ),
  );
}
