/** Numbers as people read them. */

export function formatBytes(bytes: number): string {
  if (bytes < 1_000) return `${Math.round(bytes)} B`;
  let value = bytes / 1_000;
  let unit = 0;
  for (; value >= 999.5 && unit < 3; unit++) value /= 1_000;
  return `${threeDigits(value)} ${["kB", "MB", "GB", "TB"][unit]}`;
}

export function formatDuration(ms: number): string {
  if (ms < 0.9995) return `${threeDigits(ms * 1_000)} µs`;
  if (ms < 999.5) return `${threeDigits(ms)} ms`;
  if (ms < 59_950) return `${threeDigits(ms / 1_000)} s`;
  const seconds = Math.round(ms / 1_000);
  return `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
}

/** Formats the remaining lifetime in its two largest units. */
export function formatCountdown(seconds: number): string {
  const whole = Math.max(0, Math.ceil(seconds));
  const units: [number, string][] = [
    [86_400, "d"],
    [3_600, "h"],
    [60, "min"],
    [1, "s"],
  ];
  const first = units.findIndex(([size]) => whole >= size);
  if (first < 0) return "0 s";
  let rest = whole;
  return units
    .slice(first, first + 2)
    .map(([size, name]) => {
      const count = Math.floor(rest / size);
      rest -= count * size;
      return `${count} ${name}`;
    })
    .join(" ");
}

export function formatFactor(factor: number): string {
  return `${factor < 999.5 ? threeDigits(factor) : Math.round(factor).toLocaleString("en")}×`;
}

const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });

export function formatTime(ms: number): string {
  return clock.format(ms);
}

function threeDigits(value: number): string {
  return value >= 99.95 || value === 0 ? value.toFixed(0) : value >= 9.995 ? value.toFixed(1) : value.toFixed(2);
}
