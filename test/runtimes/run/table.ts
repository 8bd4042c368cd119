import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { format } from "prettier";
import type { Result } from "../suite/harness.js";
import { ROOT } from "./bundle.js";

const PAGE = join(ROOT, "docs/runtimes.md");
const MARK = "<!-- made by npm run test:runtimes -- --docs -->";

export interface Row {
  title: string;
  version: string;
  results: readonly Result[];
  /** Why the run as a whole is not good. */
  trouble: string | undefined;
  milliseconds: number;
}

const groupsOf = (rows: readonly Row[]): string[] => [
  ...new Set(rows.flatMap(({ results }) => results.map(({ name }) => groupOf(name)))),
];

const passed = ({ results }: Row): Result[] => results.filter(({ error }) => error === undefined);

const countOf = (row: Row, group: string): string =>
  String(passed(row).filter(({ name }) => groupOf(name) === group).length || "–");

/** Tests passed, by runtime and by what they are about; then what else was checked. */
export function printTable(rows: readonly Row[], others: readonly Row[]): void {
  const groups = groupsOf(rows);
  const header = ["", "version", ...groups, "passed", "failed", "seconds"];
  const lines = [...rows, ...others].map((row) => {
    const { title, version, results, trouble, milliseconds } = row;
    const good = passed(row).length;
    const bad = results.length - good + (trouble === undefined ? 0 : 1);
    const counts = groups.map((group) => (rows.includes(row) ? countOf(row, group) : ""));
    return [title, version, ...counts, good, bad, Math.round(milliseconds / 1_000)].map(String);
  });
  const widths = header.map((cell, column) => Math.max(cell.length, ...lines.map((line) => line[column]!.length)));
  const text = (line: readonly string[]) =>
    line.map((cell, i) => (i < 2 ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!))).join("  ");
  console.log(`\n${[header, ...lines].map(text).join("\n")}`);
}

const cellsOf = (row: Row, groups: readonly string[]): string[] => [
  row.title,
  row.version,
  ...groups.map((group) => countOf(row, group)),
  String(passed(row).length),
];

/** Puts what ran into docs/runtimes.md. */
export async function writeDocs(rows: readonly Row[]): Promise<void> {
  const groups = groupsOf(rows);
  const header = ["runtime", "version", ...groups.map((name) => (name === "keys" ? name : `\`${name}\``)), "passed"];
  const rule = header.map((_, column) => (column < 2 ? "---" : "---:"));
  const table = [header, rule, ...rows.map((row) => cellsOf(row, groups))].map((cells) => `| ${cells.join(" | ")} |`);
  const text = readFileSync(PAGE, "utf8").replace(
    new RegExp(`${MARK}\\n+(\\|.*\\n)*`),
    () => `${MARK}\n\n${table.join("\n")}\n`,
  );
  writeFileSync(PAGE, await format(text, { parser: "markdown", printWidth: 120 }));
}

/**
 * Where docs/runtimes.md says otherwise than what ran, by title. `left` has kinds of tests that a runtime left out, or
 * ran, and the page does not say so; `counts` has other numbers. Versions are of one machine, and may differ.
 */
export function outdated(rows: readonly Row[]): { left: string[]; counts: string[] } {
  const groups = groupsOf(rows);
  const said = readFileSync(PAGE, "utf8")
    .split("\n")
    .map((line) => {
      const [title, , ...counts] = line.split("|").slice(1, -1);
      return [title, ...counts].map((cell) => cell?.trim());
    });
  const differ = (simplify: (text: string) => string) => {
    const lines = new Set(said.map((cells) => simplify(JSON.stringify(cells))));
    const ran = ({ title, counts }: { title: string; counts: string[] }) =>
      simplify(JSON.stringify([title, ...counts]));
    return rows
      .map((row) => ({ title: row.title, counts: cellsOf(row, groups).slice(2) }))
      .filter((row) => !lines.has(ran(row)))
      .map(({ title }) => title);
  };
  return { left: differ((text) => text.replace(/"\d+"/g, "n")), counts: differ((text) => text) };
}

/** Returns the tests that a runtime lacks, by its title: a runtime that runs part of a group must run all of it. */
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
