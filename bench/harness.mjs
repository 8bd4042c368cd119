/** Runs the sides of a comparison in turn, A B A B, each in a process of its own, and says what the samples amount to. */
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

/**
 * A side of a row, which functions under `sides` of its module resolve to. `sample` does the work once; time and CPU
 * around it are measured for it, and what it returns is added to them. `before` is not counted.
 *
 * @typedef {Record<string, number>} Sample `wall` and `cpu` in ms; all else as the row says
 * @typedef {{
 *   sample(options: any): Promise<Record<string, number> | void> | Record<string, number> | void,
 *   before?(options: any): Promise<void> | void,
 *   close?(): Promise<void> | void,
 * }} Side
 * @typedef {{ median: number, low: number, high: number, samples: number[] }} Stat `low` and `high` are the quartiles
 * @typedef {Record<string, Stat>} Stats by metric
 *
 * @typedef {{
 *   id: string,
 *   work: string,
 *   against: string,
 *   what: string,
 *   unit: string,
 *   ours: Stat,
 *   rival: Stat | undefined,
 *   ratio: number,
 *   atMost?: number,
 *   atLeast?: number,
 *   holds: boolean,
 * }} Goal
 * @typedef {{ name: string, svg: string }} Plot
 * @typedef {{ goals: Goal[], sides: Record<string, Stats>, plots?: Plot[], notes?: string[] }} Outcome
 * @typedef {{
 *   endpoint: string, accessKeyId: string, secretAccessKey: string, bucket: string,
 * }} Place
 * @typedef {{
 *   rounds(usual: number): number,
 *   scale(amount: number, least?: number): number,
 *   place: Place,
 *   dist: string,
 *   python(): Promise<string>,
 *   chromium(): Promise<string>,
 *   bun(): string | undefined,
 *   say(text: string): void,
 *   compare(options: Comparison): Promise<Record<string, Stats>>,
 * }} Bench
 * @typedef {{
 *   module: string,
 *   sides: Record<string, { name?: string, params?: object, runtime?: string, flags?: string[] }>,
 *   rounds: number,
 *   options?: object,
 *   fresh?: boolean,
 *   warmUp?: number,
 * }} Comparison `fresh`: every sample in a new process, for what memory or a first time is about
 * @typedef {{ name: string, title: string, store?: boolean, run(bench: Bench): Promise<Outcome> }} Row
 */

const CHILD = fileURLToPath(new URL("child.mjs", import.meta.url));
const MARK = "@bench ";

/** Neither a sample nor what precedes the first takes so long. A side that hangs fails its row, not the run. Milliseconds. */
const PATIENCE = { sample: 120_000, open: 400_000 };

/** A side at work. */
class Worker {
  #child;
  /** @type {{ resolve: (answer: any) => void, reject: (error: Error) => void } | undefined} */
  #waiting;
  #errors = "";

  /** @param {string} title @param {string} runtime @param {string[]} flags @param {Record<string, string>} env */
  constructor(title, runtime, flags, env) {
    this.#child = spawn(runtime, [...flags, CHILD], {
      stdio: ["pipe", "pipe", "pipe"],
      env: { ...process.env, ...env },
    });
    this.#child.stderr.on("data", (chunk) => (this.#errors = (this.#errors + chunk).slice(-4000)));
    this.#child.stdin.on("error", () => {});
    createInterface({ input: this.#child.stdout }).on("line", (line) => {
      if (!line.startsWith(MARK)) return;
      const answer = JSON.parse(line.slice(MARK.length));
      if (answer.error === undefined) this.#waiting?.resolve(answer);
      else this.#waiting?.reject(new Error(`${title}: ${answer.error}`));
    });
    /** @type {Promise<void>} */
    this.ended = new Promise((resolve) => {
      this.#child.once("close", (code) => {
        this.#waiting?.reject(new Error(`${title} ended with ${code}:\n${this.#errors}`));
        resolve();
      });
    });
  }

  /** @param {{ open: object } | { sample: object }} command @returns {Promise<any>} */
  ask(command) {
    return new Promise((resolve, reject) => {
      const patience = "open" in command ? PATIENCE.open : PATIENCE.sample;
      const timer = setTimeout(() => this.#child.kill("SIGKILL"), patience);
      const done = () => clearTimeout(timer);
      this.#waiting = {
        resolve: (answer) => (done(), resolve(answer)),
        reject: (error) => (done(), reject(error)),
      };
      this.#child.stdin.write(`${JSON.stringify(command)}\n`);
    });
  }

  async close() {
    this.#waiting = undefined;
    const timer = setTimeout(() => this.#child.kill("SIGKILL"), 10_000);
    this.#child.stdin.end('{"close":true}\n');
    await this.ended;
    clearTimeout(timer);
  }
}

/**
 * Samples every side in turn, round by round. The order is turned round each time, so that no side always runs after
 * the same neighbour.
 *
 * @param {Comparison} comparison
 * @param {{ dist: string }} where
 * @returns {Promise<Record<string, Stats>>}
 */
export async function compare({ module, sides, rounds, options = {}, fresh = false, warmUp = 1 }, { dist }) {
  const names = Object.keys(sides);
  /** @param {string} name */
  const open = async (name) => {
    const side = sides[name] ?? {};
    const worker = new Worker(name, side.runtime ?? process.execPath, side.flags ?? [], { BENCH_DIST: dist });
    await worker.ask({ open: { module, name: side.name ?? name, params: side.params ?? {} } });
    return worker;
  };
  /** @type {Record<string, Sample[]>} */
  const samples = Object.fromEntries(names.map((name) => [name, []]));
  /** @type {Record<string, Worker>} */
  const workers = {};
  try {
    if (!fresh) for (const name of names) workers[name] = await open(name);
    for (let round = fresh ? 0 : -warmUp; round < rounds; round++) {
      for (const name of round % 2 === 0 ? names : names.toReversed()) {
        const worker = workers[name] ?? (await open(name));
        const { sample } = await worker.ask({ sample: { ...options, round } });
        if (round >= 0) samples[name]?.push(sample);
        if (fresh) await worker.close();
      }
    }
  } finally {
    await Promise.all(Object.values(workers).map((worker) => worker.close()));
  }
  return Object.fromEntries(names.map((name) => [name, statsOf(samples[name] ?? [])]));
}

/** @param {Sample[]} samples @returns {Stats} */
export function statsOf(samples) {
  const metrics = Object.keys(samples[0] ?? {});
  return Object.fromEntries(metrics.map((metric) => [metric, statOf(samples.map((sample) => sample[metric] ?? NaN))]));
}

/** @param {number[]} samples @returns {Stat} */
export function statOf(samples) {
  const sorted = samples.toSorted((a, b) => a - b);
  /** @param {number} share */
  const at = (share) => {
    const place = share * (sorted.length - 1);
    const below = sorted[Math.floor(place)] ?? NaN;
    return below + ((sorted[Math.ceil(place)] ?? NaN) - below) * (place % 1);
  };
  return { median: at(0.5), low: at(0.25), high: at(0.75), samples };
}

/** The same samples in another unit. @param {Stat} stat @param {(value: number) => number} change @returns {Stat} */
export function convert(stat, change) {
  return statOf(stat.samples.map(change));
}

/**
 * Judges a ratio of medians. With `atLeast` the figures are speeds, and more is better.
 *
 * @param {Omit<Goal, "ratio" | "holds">} goal
 * @returns {Goal}
 */
export function judge(goal) {
  const ratio = goal.rival === undefined ? goal.ours.median : goal.ours.median / goal.rival.median;
  const holds = goal.atMost !== undefined ? ratio <= goal.atMost : ratio >= (goal.atLeast ?? Infinity);
  return { ...goal, ratio, holds };
}

/** The side with the smallest median. @param {Record<string, Stats>} sides @param {string} metric @param {string[]} names */
export function fastest(sides, metric, names) {
  /** @param {string} name */
  const median = (name) => sides[name]?.[metric]?.median ?? Infinity;
  return names.reduce((best, name) => (median(name) < median(best) ? name : best));
}

/** One figure, which a side is known to have. @param {Record<string, Stats>} sides @param {string} name @param {string} metric */
export function figure(sides, name, metric) {
  const stat = sides[name]?.[metric];
  if (stat === undefined) throw new Error(`no ${metric} of ${name}`);
  return stat;
}

/** Runs `work` for 0 to `count`, so many at once. @param {number} count @param {number} atOnce @param {(index: number) => Promise<unknown>} work */
export async function pooled(count, atOnce, work) {
  let next = 0;
  const lane = async () => {
    while (next < count) await work(next++);
  };
  await Promise.all(Array.from({ length: Math.min(atOnce, count) }, lane));
}

/** Numbers that look random and are the same in every run. @param {number} seed */
export function randomNumbers(seed) {
  let state = seed >>> 0 || 1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) / 2 ** 32;
  };
}

/** Bytes that do not compress. @param {number} size @param {number} [seed] */
export function randomBytes(size, seed = 1) {
  const next = randomNumbers(seed);
  return Uint8Array.from({ length: size }, () => next() * 256);
}
