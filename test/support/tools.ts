import { execFile, spawn } from "node:child_process";
import { accessSync, constants, mkdirSync, readFileSync, rmSync, statSync, writeFileSync, writeSync } from "node:fs";
import { createServer, type AddressInfo } from "node:net";
import { homedir } from "node:os";
import { delimiter, join } from "node:path";

/** Where what the tests build or download is kept between runs. */
export function cacheDirectory(): string {
  return process.env["BUCKETCACHE_CACHE"] || join(homedir(), ".cache", "bucketcache");
}

export function say(message: string): void {
  process.stderr.write(`[set-up] ${message}\n`);
}

/** A step of the set-up that failed. The message says which step, why, and what to do; the stack would add nothing. */
export class SetupError extends Error {
  constructor(step: string, cause: unknown, remedy: string) {
    const why = (cause instanceof Error ? cause.message : String(cause)).trim();
    super(`The set-up of the tests failed at: ${step}\n\nWhy: ${why}\n\nWhat to do: ${remedy}`, { cause });
    this.name = "SetupError";
  }
}

/** Runs one step of the set-up; whatever it throws becomes a SetupError with this name and this remedy. */
export async function step<T>(name: string, remedy: string, action: () => Promise<T>): Promise<T> {
  try {
    return await action();
  } catch (error) {
    // The innermost step knows best.
    throw error instanceof SetupError ? error : new SetupError(name, error, remedy);
  }
}

/**
 * Waits for steps without which no test can run. A failure ends the process with its message alone: a test runner would add
 * its own stack, and "No test files found".
 */
export async function required<T>(steps: Promise<T>): Promise<T> {
  try {
    return await steps;
  } catch (error) {
    if (!(error instanceof SetupError)) throw error;
    // Synchronous, so that nothing is lost by the exit.
    writeSync(2, `\n${error.message}\n`);
    process.exit(1);
  }
}

export function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return statSync(file).isFile();
  } catch {
    return false;
  }
}

/** The first of these programs on PATH or in the other folders. */
export function findProgram(names: readonly string[], folders: readonly string[] = []): string | undefined {
  const path = (process.env["PATH"] ?? "").split(delimiter).filter((folder) => folder !== "");
  const suffixes = process.platform === "win32" ? [".exe", ".cmd"] : [""];
  for (const name of names) {
    for (const folder of [...path, ...folders]) {
      for (const suffix of suffixes) {
        const file = join(folder, name + suffix);
        if (isExecutable(file)) return file;
      }
    }
  }
  return undefined;
}

/** Whether a command ends well within the time; what it prints is dropped. */
export function succeeds(command: string, args: readonly string[], milliseconds = 15_000): Promise<boolean> {
  return new Promise((resolve) => {
    execFile(command, args, { timeout: milliseconds }, (error) => resolve(error === null));
  });
}

export interface LongRun {
  env?: NodeJS.ProcessEnv;
  cwd?: string;
  /** How often to say that it is still going on, in ms. */
  every?: number;
}

/** Runs a command that may take minutes, saying so every 15 s; its output is shown only when it fails. */
export function runLong(title: string, command: string, args: readonly string[], options: LongRun = {}): Promise<void> {
  say(`${title} …`);
  const start = Date.now();
  const seconds = () => Math.round((Date.now() - start) / 1000);
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, {
      stdio: ["ignore", "pipe", "pipe"],
      env: { ...process.env, ...options.env },
      ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    });
    let output = "";
    const keep = (chunk: Buffer) => (output = (output + chunk.toString()).slice(-8000));
    child.stdout.on("data", keep);
    child.stderr.on("data", keep);
    const timer = setInterval(() => say(`${title}: ${seconds()} s so far`), options.every ?? 15_000);
    // Ctrl-C must not leave a compiler running.
    const kill = () => void child.kill();
    process.once("exit", kill);
    const done = (error?: Error) => {
      clearInterval(timer);
      process.off("exit", kill);
      if (error !== undefined) return reject(error);
      say(`${title}: done in ${seconds()} s`);
      resolve();
    };
    child.on("error", (error) => done(error));
    child.on("close", (code, signal) => {
      if (code === 0) return done();
      done(new Error(`${title} failed (${signal ?? `exit code ${code}`}):\n${output}`));
    });
  });
}

/** Lets one process at a time do what makes `name` in the cache directory; a lock whose owner died is taken over. */
export async function withLock<T>(name: string, action: () => Promise<T>): Promise<T> {
  const lock = join(cacheDirectory(), `${name}.lock`);
  mkdirSync(cacheDirectory(), { recursive: true });
  let told = false;
  while (!take(lock)) {
    if (!told) say(`another run makes ${name}: waiting for it (${lock})`);
    told = true;
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
  const release = () => rmSync(lock, { force: true });
  process.once("exit", release);
  try {
    return await action();
  } finally {
    process.off("exit", release);
    release();
  }
}

function take(lock: string): boolean {
  try {
    writeFileSync(lock, String(process.pid), { flag: "wx" });
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
  }
  try {
    const owner = Number(readFileSync(lock, "utf8"));
    // Its owner creates and fills it in two steps: an empty one is taken over only when it stays so.
    const abandoned = owner > 0 ? !isAlive(owner) : Date.now() - statSync(lock).mtimeMs > 10_000;
    if (abandoned) rmSync(lock, { force: true });
  } catch {
    // Released in the meantime.
  }
  return false;
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}

/** A port of 127.0.0.1 that was free a moment ago. */
export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}
