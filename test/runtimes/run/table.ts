import type { Result } from "../suite/harness.js";

export interface Row {
  title: string;
  version: string;
  results: readonly Result[];
  /** Why the run as a whole is not good. */
  trouble: string | undefined;
  milliseconds: number;
}

/** Tests passed, by runtime and by what they are about; then what else was checked. */
export function printTable(rows: readonly Row[], others: readonly Row[]): void {
  const groups = [...new Set(rows.flatMap(({ results }) => results.map(({ name }) => groupOf(name))))];
  const header = ["", "version", ...groups, "passed", "failed", "seconds"];
  const lines = [...rows, ...others].map((row) => {
    const { title, version, results, trouble, milliseconds } = row;
    const good = results.filter(({ error }) => error === undefined);
    const bad = results.length - good.length + (trouble === undefined ? 0 : 1);
    const counts = groups.map((group) =>
      rows.includes(row) ? good.filter(({ name }) => groupOf(name) === group).length || "–" : "",
    );
    return [title, version, ...counts, good.length, bad, Math.round(milliseconds / 1_000)].map(String);
  });
  const widths = header.map((cell, column) => Math.max(cell.length, ...lines.map((line) => line[column]!.length)));
  const text = (line: readonly string[]) =>
    line.map((cell, i) => (i < 2 ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!))).join("  ");
  console.log(`\n${[header, ...lines].map(text).join("\n")}`);
}

/** What a runtime ran of a group, it has to run all of: the tests that it lacks, by its title. */
export function missing(rows: readonly Row[]): Map<string, string[]> {
  const found = new Map<string, string[]>();
  for (const group of new Set(rows.flatMap(({ results }) => results.map(({ name }) => groupOf(name))))) {
    const all = new Set(rows.flatMap(({ results }) => namesOf(results, group)));
    for (const { title, results } of rows) {
      const own = new Set(namesOf(results, group));
      const lacking = own.size === 0 ? [] : [...all].filter((name) => !own.has(name));
      if (lacking.length > 0) found.set(title, [...(found.get(title) ?? []), ...lacking]);
    }
  }
  return found;
}

const groupOf = (name: string): string => name.split(" > ")[0] as string;

function namesOf(results: readonly Result[], group: string): string[] {
  return results.filter(({ name }) => groupOf(name) === group).map(({ name }) => name);
}
