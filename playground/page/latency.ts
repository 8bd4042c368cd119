/** How long calls took, by the layer that answered: a dot for each call on a logarithmic scale. */
import { svg } from "./dom.js";
import { formatDuration } from "./format.js";

export type Source = "memory" | "bucket" | "function";

export interface Sample {
  source: Source;
  where: "page" | "server";
  ms: number;
}

const ROWS: readonly Source[] = ["memory", "bucket", "function"];
const NAMES: Record<Source, string> = { memory: "Memory", bucket: "Bucket", function: "Function" };
const ROW = 40;
const LABELS = 74;
const AXIS = 22;
const FROM = -3; // 1 µs
const TO = 5; // 100 s
const KEPT = 200;

const samples: Sample[] = [];

export function addSample(sample: Sample): void {
  samples.push(sample);
  if (samples.length > KEPT) samples.shift();
}

export function drawLatency(into: HTMLElement): void {
  const width = Math.max(240, into.clientWidth);
  const height = ROWS.length * ROW + AXIS;
  const track = width - LABELS - 26;
  const x = (ms: number): number =>
    LABELS + 6 + (track * (Math.min(TO, Math.max(FROM, Math.log10(ms))) - FROM)) / (TO - FROM);
  const drawing = svg("svg", {
    viewBox: `0 0 ${width} ${height}`,
    width,
    height,
    role: "img",
    "aria-label": describe(),
  });
  const narrow = track < 420;
  for (let power = FROM; power <= TO; power++) {
    const at = x(10 ** power);
    drawing.append(svg("line", { x1: at, x2: at, y1: 0, y2: ROWS.length * ROW, class: "grid" }));
    if (!narrow || power % 2 !== 0) {
      drawing.append(svg("text", { x: at, y: height - 7, class: "tick", "text-anchor": "middle" }, tickName(power)));
    }
  }
  ROWS.forEach((source, row) => {
    const middle = row * ROW + ROW / 2;
    drawing.append(
      svg("text", { x: 0, y: middle + 4, class: "lane" }, NAMES[source]),
      svg("line", { x1: LABELS, x2: LABELS + track + 12, y1: middle, y2: middle, class: "rule" }),
    );
    const own = samples.filter((sample) => sample.source === source);
    own.forEach(({ ms, where }, index) => {
      // Beside each other, so that equal ones are seen.
      const y = middle + ((index % 3) - 1) * 5;
      const newest = samples.at(-1) === own[index] ? " newest" : "";
      drawing.append(
        where === "page"
          ? svg("circle", { cx: x(ms), cy: y, r: 5, class: `sample ${source}${newest}` })
          : svg("path", { d: diamond(x(ms), y), class: `sample ${source}${newest}` }),
      );
    });
    const median = medianOf(own);
    if (median !== undefined) {
      const at = x(median);
      const isLeft = at > LABELS + track * 0.72;
      drawing.append(
        svg("line", { x1: at, x2: at, y1: middle - 14, y2: middle + 14, class: "median" }),
        svg(
          "text",
          { x: isLeft ? at - 12 : at + 12, y: middle - 8, class: "label", "text-anchor": isLeft ? "end" : "start" },
          formatDuration(median),
        ),
      );
    }
  });
  into.replaceChildren(drawing);
}

function diamond(x: number, y: number): string {
  return `M${x} ${y - 6.5}L${x + 6.5} ${y}L${x} ${y + 6.5}L${x - 6.5} ${y}Z`;
}

function tickName(power: number): string {
  if (power < 0) return `${10 ** (power + 3)} µs`;
  return power < 3 ? `${10 ** power} ms` : `${10 ** (power - 3)} s`;
}

function medianOf(own: readonly Sample[]): number | undefined {
  const sorted = own.map(({ ms }) => ms).sort((a, b) => a - b);
  return sorted[Math.floor((sorted.length - 1) / 2)];
}

function describe(): string {
  if (samples.length === 0) return "No calls yet.";
  return ROWS.flatMap((source) => {
    const own = samples.filter((sample) => sample.source === source);
    const median = medianOf(own);
    return median === undefined ? [] : [`${NAMES[source]}: ${own.length} calls, median ${formatDuration(median)}`];
  }).join(". ");
}
