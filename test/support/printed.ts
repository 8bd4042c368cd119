import { readdirSync, readFileSync } from "node:fs";

// Code that users read: the blocks of README, guides and doc comments.

const ROOT = new URL("../../", import.meta.url);

/** A code block as it is printed. */
export interface Block {
  /** Path of its file, from the root of the repository. */
  page: string;
  /** Number of its first line of code, from 1. */
  line: number;
  /** Info of its fence: a language, and the kind of check where the language alone does not say it. Readers see none of it. */
  info: string;
  code: string;
  /** The last paragraph before it. */
  before: string;
}

/** Blocks that a reader copies together: the later ones use what the first imports and declares. */
export type Program = [Block, ...Block[]];

const list = (folder: string) => readdirSync(new URL(folder, ROOT), { recursive: true, encoding: "utf8" });

/** Text of a file of the repository. */
export function read(path: string): string {
  return readFileSync(new URL(path, ROOT), "utf8");
}

/** README and guides. */
export function guides(): string[] {
  const names = readdirSync(new URL("docs/", ROOT)).filter((name) => name.endsWith(".md"));
  return ["README.md", ...names.map((name) => `docs/${name}`)];
}

/** Every code block of README, of the guides, and of the doc comments of `src`. */
export function printedBlocks(): Block[] {
  const sources = list("src/").filter((name) => name.endsWith(".ts"));
  const comments = sources.flatMap((name) => blocksOfComments(`src/${name.replaceAll("\\", "/")}`));
  return [...guides().flatMap((page) => blocksOf(page, read(page))), ...comments];
}

/**
 * Joins blocks of one page: code without an import goes on with the program above it, and an answer of HTTP with its
 * request. Everything else is a program of its own.
 */
export function programsOf(blocks: readonly Block[]): Program[] {
  const programs: Program[] = [];
  for (const block of blocks) {
    const above = programs.findLast(([first]) => first.page === block.page && first.info === block.info);
    const begins = block.info === "http" ? !/^\d{3} /.test(block.code) : /^import /m.test(block.code);
    if (["js", "ts", "http"].includes(block.info) && !begins && above !== undefined) above.push(block);
    else programs.push([block]);
  }
  return programs;
}

/** The program with each block at the lines where its page prints it, so that errors name these lines. */
export function atItsLines(program: Program): string {
  const lines: string[] = [];
  for (const { line, code } of program) {
    while (lines.length < line - 1) lines.push("");
    lines.push(...code.split("\n"));
  }
  return lines.join("\n");
}

/** The lines of a program, as in "docs/guide.md:9,20". */
export function addressOf(program: Program): string {
  return `${program[0].page}:${program.map(({ line }) => line).join(",")}`;
}

/** The blocks of a text in Markdown, which begins at this line of its file. */
function blocksOf(page: string, text: string, firstLine = 1): Block[] {
  const blocks: Block[] = [];
  const lines = text.split(/\r?\n/);
  const isMarkdown = page.endsWith(".md");
  let before: string[] = [];
  let wasBlank = true;
  const add = (info: string, start: number, end: number, indent: number) => {
    const code = lines.slice(start, end).map((line) => line.slice(indent));
    blocks.push({ page, line: firstLine + start, info, code: `${code.join("\n")}\n`, before: before.join("\n") });
  };
  for (let i = 0; i < lines.length; i++) {
    const line = lines[i]!;
    const [, indent, marks, info] = /^( *)(`{3,}|~{3,})\s*(.*?)\s*$/.exec(line) ?? [];
    if (marks !== undefined) {
      const start = i + 1;
      do i++;
      while (i < lines.length && !lines[i]!.trim().startsWith(marks));
      if (i === lines.length) throw new Error(`${page}:${firstLine + start}: the block has no end`);
      add(info as string, start, i, (indent as string).length);
    } else if (
      isMarkdown &&
      /^(?: {4}|\t)\s*\S/.test(line) &&
      wasBlank &&
      !/^(?:\s|[-*] |\d+\. )/.test(before[0] ?? "")
    ) {
      // Indented code cannot say what it is: a block of no language.
      const start = i;
      while (i + 1 < lines.length && /^(?: {4}|\t|\s*$)/.test(lines[i + 1]!)) i++;
      add("", start, i + 1, 4);
    } else if (line.trim() !== "") {
      before = wasBlank ? [line] : [...before, line];
      wasBlank = false;
      continue;
    }
    wasBlank = true;
  }
  return blocks;
}

/** The blocks of the doc comments of a file. An `@example` without a fence is a block of no language. */
function blocksOfComments(page: string): Block[] {
  const text = read(page);
  return [...text.matchAll(/^[ \t]*\/\*\*[\s\S]*?\*\//gm)].flatMap(({ 0: comment, index }) => {
    const firstLine = text.slice(0, index).split("\n").length;
    const lines = comment.split("\n").map((line) => line.replace(/^\s*\/?\*+(?:\/$| ?)/, "").replace(/\s*\*\/$/, ""));
    const blocks = blocksOf(page, lines.join("\n"), firstLine);
    lines.forEach((line, i) => {
      if (!line.startsWith("@example") || lines[i + 1]?.startsWith("```")) return;
      blocks.push({ page, line: firstLine + i, info: "", code: `${line}\n`, before: "" });
    });
    return blocks;
  });
}
