import { formatBytes, formatDuration, renderProgress, stylesOf, takesColours } from "./table.mjs";

const CLEAR_LINE = "\r\x1b[2K";

/**
 * Where the demo prints. On a terminal the last line may change; elsewhere each line is written once.
 *
 * @param {NodeJS.WriteStream} stream
 * @param {Record<string, string | undefined>} env
 */
export function openScreen(stream, env) {
  const terminal = stream.isTTY === true && env["TERM"] !== "dumb";
  const styles = stylesOf(takesColours(stream, env));
  let shownQuarter = 0;
  /** @type {ReturnType<typeof setInterval> | undefined} */
  let timer;

  const idle = () => {
    clearInterval(timer);
    timer = undefined;
    if (terminal) stream.write(CLEAR_LINE);
  };
  return {
    styles,
    /** @param {string[]} lines */
    print(...lines) {
      idle();
      for (const line of lines) stream.write(`${line}\n`);
    },
    idle,
    /**
     * Says what is being waited for, until something else is said. Only a terminal can take it back.
     *
     * @param {string} what
     */
    busy(what) {
      idle();
      if (!terminal) return;
      const start = performance.now();
      const show = () => {
        const seconds = Math.floor((performance.now() - start) / 1_000);
        stream.write(`${CLEAR_LINE}${styles.dim(`  … ${what}${seconds > 0 ? `, ${seconds} s` : ""}`)}`);
      };
      show();
      timer = setInterval(show, 1_000);
      timer.unref();
    },
    /**
     * @param {string} label
     * @param {"sent" | "received"} moved
     * @param {import("./worker.mjs").Transfer} transfer
     */
    progress(label, moved, transfer) {
      const { done, plainBytes, wireBytes, ms } = transfer;
      const ended = done === 1;
      const speed = `${formatBytes((1_000 * plainBytes) / Math.max(1, ms))}/s`;
      const text = ended
        ? `${formatBytes(plainBytes)} as ${formatBytes(wireBytes)} gzip, ${formatDuration(ms)}`
        : [formatBytes(plainBytes), wireBytes > 0 ? `${formatBytes(wireBytes)} ${moved}` : "", speed]
            .filter(Boolean)
            .join(", ");
      const line = renderProgress({ label, done, text }, styles);
      if (terminal) {
        idle();
        stream.write(line + (ended ? "\n" : ""));
        return;
      }
      const quarter = Math.floor(done * 4);
      if (quarter > shownQuarter) stream.write(`${line}\n`);
      shownQuarter = ended ? 0 : quarter;
    },
  };
}

/** @typedef {ReturnType<typeof openScreen>} Screen */
