/** Results of a run, for people and for programs. */

/** @typedef {import("./harness.mjs").Goal} Goal */
/** @typedef {import("./harness.mjs").Stat} Stat */

/** @param {number} value */
export function figure(value) {
  if (!Number.isFinite(value)) return "?";
  const size = Math.abs(value);
  if (size >= 1000) return Math.round(value).toLocaleString("en");
  return size >= 100
    ? value.toFixed(0)
    : size >= 10
      ? value.toFixed(1)
      : size >= 1
        ? value.toFixed(2)
        : value.toPrecision(2);
}

/** The median and, where there is more than one sample, the quartiles. @param {Stat | undefined} stat @param {string} unit */
function statText(stat, unit) {
  if (stat === undefined) return "";
  const spread = stat.samples.length > 1 ? ` (${figure(stat.low)}–${figure(stat.high)})` : "";
  return `${figure(stat.median)}${unit && ` ${unit}`}${spread}`;
}

/** @param {Goal} goal */
function cells(goal) {
  const { work, against, what, unit, ours, rival, ratio, atMost, atLeast, holds } = goal;
  const bound = atMost === undefined ? `≥ ${figure(atLeast ?? NaN)}` : `≤ ${figure(atMost)}`;
  return [
    work,
    against || "–",
    what,
    statText(ours, unit),
    statText(rival, unit) || "–",
    figure(ratio),
    bound,
    holds ? "yes" : "no",
  ];
}

const HEADS = ["work", "against", "what", "ours", "theirs", "ratio", "goal", "holds"];

/** @param {readonly Goal[]} goals */
export function textTable(goals) {
  const rows = [HEADS, ...goals.map(cells)];
  const widths = HEADS.map((_, column) => Math.max(...rows.map((row) => (row[column] ?? "").length)));
  return rows
    .map((row) =>
      row
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join("  ")
        .trimEnd(),
    )
    .join("\n");
}

/** @param {readonly Goal[]} goals */
export function markdownTable(goals) {
  /** @param {readonly string[]} row */
  const line = (row) => `| ${row.join(" | ")} |`;
  return [line(HEADS), line(HEADS.map(() => "---")), ...goals.map((goal) => line(cells(goal)))].join("\n");
}

/** All sides of a row, beyond what the goals compare. @param {Record<string, import("./harness.mjs").Stats>} sides */
export function sidesText(sides) {
  return Object.entries(sides)
    .map(([name, stats]) => {
      const figures = Object.entries(stats).map(([metric, stat]) => `${metric} ${statText(stat, "")}`);
      return `    ${name}: ${figures.join(", ")}`;
    })
    .join("\n");
}
