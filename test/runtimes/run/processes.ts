// Node, Bun and Deno: one file, run by each.
import { spawn } from "node:child_process";
import { join } from "node:path";
import type { Runtime } from "./main.js";
import { ensureProgram, type ProgramName } from "./programs.js";

// Bun and Deno say what they may do by arguments; Deno is allowed the network and nothing else.
const ARGUMENTS: Record<ProgramName, readonly string[]> = {
  node20: [],
  node22: [],
  node24: [],
  bun: ["run"],
  deno: ["run", "--no-prompt", "--no-config", "--allow-net=127.0.0.1"],
};

/** Permissions of the SDK beyond these: it reads files and the environment, and names the system in its headers. */
const SDK_ARGUMENTS: Partial<Record<ProgramName, readonly string[]>> = {
  deno: ["--allow-read", "--allow-env", "--allow-sys", "--node-modules-dir=manual"],
};

/** Milliseconds that a process may take to end by itself after its last result: nothing may keep it. */
const LINGER = 20_000;

export function processRuntime(name: ProgramName, title: string): Runtime {
  return {
    name,
    title,
    runs: [["keys", "memory", "s3", "presigned"], ["client"]],
    async run({ url, ended }, { groups, suite, sdk }) {
      const program = await ensureProgram(name);
      const args = groups.includes("client")
        ? [...ARGUMENTS[name], ...(SDK_ARGUMENTS[name] ?? []), join(sdk, "sdk.js")]
        : [...ARGUMENTS[name], join(suite, "server.js")];
      const { output, exit, kill } = start(program, [...args, url]);
      const gone = exit.then((code) => {
        throw new Error(`it ended with ${code}:\n${output()}`);
      });
      try {
        await Promise.race([ended, gone]);
        const late = new Promise<string>((resolve) => setTimeout(resolve, LINGER, "late").unref());
        const code = await Promise.race([exit, late]);
        if (code === "late") throw new Error("the process does not end by itself after the last test");
        if (code !== 0) throw new Error(`it ended with ${code}:\n${output()}`);
      } finally {
        gone.catch(() => {});
        kill();
      }
      return version(program);
    },
  };
}

export function start(program: string, args: readonly string[], env: NodeJS.ProcessEnv = {}) {
  const child = spawn(program, args, {
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...process.env, NO_COLOR: "1", ...env },
  });
  let output = "";
  const keep = (chunk: Buffer) => (output = (output + chunk.toString()).slice(-8_000));
  child.stdout.on("data", keep);
  child.stderr.on("data", keep);
  const kill = () => void child.kill("SIGKILL");
  process.once("exit", kill);
  const exit = new Promise<number | string>((resolve) => {
    child.on("error", (error) => resolve(error.message));
    child.on("close", (code, signal) => {
      process.off("exit", kill);
      resolve(code ?? signal ?? "nothing");
    });
  });
  return { output: () => output, exit, kill };
}

async function version(program: string): Promise<string> {
  const { output, exit } = start(program, ["--version"]);
  await exit;
  return /\d+\.\d+\.\d+/.exec(output())?.[0] ?? "";
}
