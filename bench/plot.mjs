/** Line plots with logarithmic axes, and bars, as SVG that needs no script. */

const WIDTH = 720;
const HEIGHT = 400;
const LEFT = 80;
const RIGHT = 24;
const TOP = 48;
const BOTTOM = 84;
const COLOURS = ["#0b6bcb", "#c2410c", "#3f7d20", "#7c3aed"];

/** @param {string} text */
const escape = (text) => text.replace(/&/g, "&amp;").replace(/</g, "&lt;");

/** @param {number} x @param {number} y @param {string} content @param {string} [more] */
const text = (x, y, content, more = "") =>
  `<text x="${x.toFixed(1)}" y="${y.toFixed(1)}" ${more}>${escape(content)}</text>`;

/** @param {number} height @param {string} title @param {string} content */
const frame = (
  height,
  title,
  content,
) => `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" role="img" aria-label="${escape(title)}" font-family="system-ui, sans-serif" font-size="13">
<style>text{fill:#1f2937}.grid{stroke:#d1d5db}.back{fill:#fff}@media(prefers-color-scheme:dark){text{fill:#e5e7eb}.grid{stroke:#4b5563}.back{fill:#111827}}</style>
<rect class="back" width="${WIDTH}" height="${height}"/>
${text(LEFT, 26, title, 'font-size="16" font-weight="600"')}
${content}
</svg>
`;

/**
 * Both axes logarithmic, so that a cost that stays the same is a level line.
 *
 * @param {{ title: string, x: string, y: string, series: { name: string, points: [number, number][] }[] }} plot
 */
export function linePlot({ title, x, y, series }) {
  const all = series.flatMap(({ points }) => points);
  const xs = all.map(([value]) => Math.log10(value));
  const ys = all.map(([, value]) => Math.log10(value));
  const [left, right] = [Math.floor(Math.min(...xs)), Math.ceil(Math.max(...xs))];
  const [low, high] = [Math.floor(Math.min(...ys)), Math.ceil(Math.max(...ys))];
  /** @param {number} log */
  const across = (log) => LEFT + ((log - left) / (right - left || 1)) * (WIDTH - LEFT - RIGHT);
  /** @param {number} log */
  const up = (log) => HEIGHT - BOTTOM - ((log - low) / (high - low || 1)) * (HEIGHT - TOP - BOTTOM);
  const parts = [];
  for (let log = left; log <= right; log++) {
    parts.push(`<line class="grid" x1="${across(log)}" x2="${across(log)}" y1="${TOP}" y2="${HEIGHT - BOTTOM}"/>`);
    parts.push(text(across(log), HEIGHT - BOTTOM + 20, (10 ** log).toLocaleString("en"), 'text-anchor="middle"'));
  }
  for (let log = low; log <= high; log++) {
    parts.push(`<line class="grid" x1="${LEFT}" x2="${WIDTH - RIGHT}" y1="${up(log)}" y2="${up(log)}"/>`);
    parts.push(text(LEFT - 8, up(log) + 4, (10 ** log).toLocaleString("en"), 'text-anchor="end"'));
  }
  parts.push(text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - BOTTOM + 40, x, 'text-anchor="middle"'));
  parts.push(
    text(0, 0, y, `text-anchor="middle" transform="translate(18 ${(TOP + HEIGHT - BOTTOM) / 2}) rotate(-90)"`),
  );
  series.forEach(({ name, points }, index) => {
    const colour = COLOURS[index % COLOURS.length];
    const places = points.map(([a, b]) => [across(Math.log10(a)), up(Math.log10(b))].map((place) => place.toFixed(1)));
    parts.push(
      `<polyline fill="none" stroke="${colour}" stroke-width="2" points="${places.map((place) => place.join()).join(" ")}"/>`,
    );
    for (const [cx, cy] of places) parts.push(`<circle fill="${colour}" cx="${cx}" cy="${cy}" r="3.5"/>`);
    const begin = LEFT + (index * (WIDTH - LEFT)) / series.length;
    parts.push(`<rect fill="${colour}" x="${begin}" y="${HEIGHT - 26}" width="12" height="12"/>`);
    parts.push(text(begin + 18, HEIGHT - 15, name));
  });
  return frame(HEIGHT, title, parts.join("\n"));
}

/** @param {{ title: string, unit: string, bars: { name: string, value: number, ours: boolean }[] }} plot */
export function barPlot({ title, unit, bars }) {
  const begin = 230;
  const longest = Math.max(...bars.map(({ value }) => value));
  const parts = bars.map(({ name, value, ours }, index) => {
    const y = TOP + index * 26;
    const width = (value / longest) * (WIDTH - begin - 110);
    const figure = value.toPrecision(3).replace(/\.0+$/, "");
    return [
      text(begin - 10, y + 14, name, `text-anchor="end"${ours ? ' font-weight="600"' : ""}`),
      `<rect fill="${ours ? COLOURS[0] : "#9ca3af"}" x="${begin}" y="${y}" width="${width.toFixed(1)}" height="18"/>`,
      text(begin + width + 8, y + 14, `${figure} ${unit}`),
    ].join("\n");
  });
  return frame(TOP + bars.length * 26 + 16, title, parts.join("\n"));
}
