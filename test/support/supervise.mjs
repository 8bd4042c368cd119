// Runs a server for as long as its own standard input stays open, then stops it and removes its folder. The pipe closes
// however the tests end, by Ctrl-C, a crash or `kill -9`, so that no run leaves a server behind.
// Usage: node supervise.mjs FOLDER COMMAND [ARGUMENT…]
import { spawn } from "node:child_process";
import { rmSync } from "node:fs";

const [folder, command, ...args] = process.argv.slice(2);
// A group of its own: what starts others (xvfb-run does) need not pass on what ends it.
const isGroup = process.platform !== "win32";
const child = spawn(command, args, { stdio: ["ignore", "inherit", "inherit"], detached: isGroup });

let stopping = false;
function stop() {
  if (stopping) return;
  stopping = true;
  end("SIGTERM");
  setTimeout(() => end("SIGKILL"), 3000).unref();
}

function end(signal) {
  try {
    if (isGroup) process.kill(-child.pid, signal);
    else child.kill(signal);
  } catch {
    // It has ended, or never began.
  }
}

// Ctrl-C reaches the whole process group: outlive it, to tidy up after the server.
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, stop);
process.stdin.on("close", stop).on("error", stop).resume();

child.on("error", (error) => {
  console.error(String(error));
  finish(1);
});
child.on("exit", (code) => finish(stopping ? 0 : (code ?? 1)));

function finish(code) {
  rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
  process.exit(code);
}
