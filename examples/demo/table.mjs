/**
 * Output of the demo. Pure: values in, text out, at most 80 columns wide.
 *
 * @typedef {object} Measurement one call as it was measured
 * @property {"function" | "bucket" | "memory"} answeredBy
 * @property {number} ms
 * @property {number} wireBytes sent and received, headers included
 * @property {number} storedBytes of the object in the bucket
 * @property {string[]} requests their methods, in order
 *
 * @typedef {object} Result
 * @property {string} title
 * @property {number} plainBytes of the value as JSON
 * @property {{ label: string, call: Measurement }[]} rows the first is what the others are compared with
 */

const COLUMNS = [27, 9, 12, 13, 7, 12];
const WIDTH = COLUMNS.reduce((sum, width) => sum + width);

/**
 * ANSI colours, or none.
 *
 * @param {boolean} colours
 */
export function stylesOf(colours) {
  const style = (/** @type {number} */ on, /** @type {number} */ off) => (/** @type {string} */ text) =>
    colours ? `\x1b[${on}m${text}\x1b[${off}m` : text;
  return {
    bold: style(1, 22),
    dim: style(2, 22),
    red: style(31, 39),
    green: style(32, 39),
    yellow: style(33, 39),
    cyan: style(36, 39),
  };
}

/** @typedef {ReturnType<typeof stylesOf>} Styles */

/**
 * Whether a stream takes colours: a terminal, unless `NO_COLOR` (https://no-color.org) asks for none.
 *
 * @param {{ isTTY?: boolean }} stream
 * @param {Record<string, string | undefined>} env
 */
export function takesColours(stream, env) {
  return stream.isTTY === true && !env["NO_COLOR"] && env["TERM"] !== "dumb";
}

/** @param {Styles} styles */
export function renderHeader(styles) {
  return styles.dim(cells(["", "time", "faster", "on the wire", "gzip", "requests"]));
}

/**
 * @param {Result} result
 * @param {Styles} styles
 */
export function renderResult({ title, plainBytes, rows }, styles) {
  const note = `${formatBytes(plainBytes)} of JSON`;
  const lines = [styles.bold(title.padEnd(WIDTH - note.length)) + styles.dim(note)];
  for (const { label, call } of rows) lines.push(renderRow(label, call, rows[0]?.call.ms ?? 0, plainBytes, styles));
  return lines.join("\n");
}

/**
 * @param {string} label
 * @param {Measurement} call
 * @param {number} firstMs
 * @param {number} plainBytes
 * @param {Styles} styles
 */
function renderRow(label, call, firstMs, plainBytes, styles) {
  const layer = {
    function: { text: "computed", paint: styles.yellow },
    bucket: { text: "bucket", paint: styles.cyan },
    memory: { text: "memory", paint: styles.green },
  }[call.answeredBy];
  const moved = call.requests.length > 0;
  const [first, ...rest] = split([
    `  ${label.padEnd(16)} ${layer.text}`,
    formatDuration(call.ms),
    call.ms * 1.5 < firstMs ? formatFactor(firstMs / call.ms) : "",
    moved ? formatBytes(call.wireBytes) : "nothing",
    moved ? formatFactor(plainBytes / call.storedBytes) : "",
    formatRequests(call.requests),
  ]);
  const [time, ...others] = rest;
  return first?.replace(layer.text, layer.paint(layer.text)) + layer.paint(time ?? "") + others.join("");
}

/** @param {readonly string[]} requests */
function formatRequests(requests) {
  if (requests.length === 0) return "none";
  return requests.length <= 3 ? requests.join(" ") : `${requests.length} requests`;
}

/** @param {readonly string[]} texts */
function cells(texts) {
  return split(texts).join("").trimEnd();
}

/**
 * The first cell stands left, the others right.
 *
 * @param {readonly string[]} texts
 */
function split(texts) {
  return texts.map((text, i) => (i === 0 ? text.padEnd(COLUMNS[0] ?? 0) : text.padStart(COLUMNS[i] ?? 0)));
}

/**
 * A line of progress.
 *
 * @param {{ label: string, done: number, text: string }} progress `done` from 0 to 1
 * @param {Styles} styles
 */
export function renderProgress({ label, done, text }, styles) {
  const width = 24;
  const full = Math.floor(Math.min(1, Math.max(0, done)) * width);
  const bar = styles.cyan("█".repeat(full)) + styles.dim("░".repeat(width - full));
  return `  ${label.padEnd(10)}${bar} ${`${Math.floor(done * 100)}%`.padStart(4)}  ${text}`;
}

/**
 * Words broken into lines that fit the table.
 *
 * @param {string} text
 */
export function fold(text) {
  return text
    .split("\n")
    .flatMap((paragraph) => {
      const lines = [""];
      for (const word of paragraph.split(" ")) {
        const line = lines.at(-1) ?? "";
        if (line !== "" && line.length + 1 + word.length > WIDTH) lines.push(word);
        else lines[lines.length - 1] = line === "" ? word : `${line} ${word}`;
      }
      return lines;
    })
    .join("\n");
}

/** @param {number} bytes in decimal units, as networks and disks count: 1 kB is 1,000 bytes */
export function formatBytes(bytes) {
  if (bytes < 1_000) return `${Math.round(bytes)} B`;
  const units = ["kB", "MB", "GB", "TB"];
  let value = bytes / 1_000;
  let unit = 0;
  for (; value >= 999.5 && unit < units.length - 1; unit++) value /= 1_000;
  return `${threeDigits(value)} ${units[unit]}`;
}

/** @param {number} ms */
export function formatDuration(ms) {
  if (ms < 0.000_999_5) return `${Math.round(ms * 1e6)} ns`;
  if (ms < 0.9995) return `${threeDigits(ms * 1_000)} µs`;
  if (ms < 999.5) return `${threeDigits(ms)} ms`;
  if (ms < 59_950) return `${threeDigits(ms / 1_000)} s`;
  const seconds = Math.round(ms / 1_000);
  return `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
}

/** @param {number} factor */
export function formatFactor(factor) {
  return `${factor < 999.5 ? threeDigits(factor) : formatCount(Number(factor.toPrecision(2)))}×`;
}

/** @param {number} count */
export function formatCount(count) {
  return count.toLocaleString("en-US");
}

/** @param {number} value from 1 to 999 */
function threeDigits(value) {
  return value >= 99.95 ? value.toFixed(0) : value >= 9.995 ? value.toFixed(1) : value.toFixed(2);
}
