import type { Duration } from "../types.js";

const UNIT_SECONDS = { ms: 0.001, s: 1, m: 60, h: 3_600, d: 86_400, w: 604_800 } as const;

/**
 * Returns the seconds of a {@link Duration}. `Infinity` is allowed and means never.
 *
 * @throws TypeError for anything that is not a positive length of time, naming `option`.
 */
export function toSeconds(duration: Duration, option: string): number {
  if (typeof duration === "number" && duration > 0) return duration;
  if (typeof duration === "string") {
    const match = /^(\d+(?:\.\d+)?)(ms|s|m|h|d|w)$/.exec(duration);
    if (match !== null) {
      const seconds = Number(match[1]) * UNIT_SECONDS[match[2] as keyof typeof UNIT_SECONDS];
      if (seconds > 0) return seconds;
    }
  }
  throw new TypeError(
    `${option} must be a positive number of seconds or a string with its unit, such as "90s", "5m", "1h" or "7d"; got ${describe(duration)}`,
  );
}

function describe(value: unknown): string {
  return typeof value === "string" ? JSON.stringify(value) : String(value);
}
