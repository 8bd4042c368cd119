// The type tests of test/types, against the declarations that users get. Run after a build. What is compiled is also run
// where it is named *.run.ts: a decorator, for one, that the test runner's own transform does not take.
import { spawnSync } from "node:child_process";
import { readdirSync, rmSync } from "node:fs";
import { join } from "node:path";

const OUT = join(".cache", "types");
rmSync(OUT, { recursive: true, force: true });
const run = (...args) => spawnSync(process.execPath, args, { stdio: "inherit" }).status === 0;

const failures = [];
if (!run(join("node_modules", "typescript", "bin", "tsc"), "-p", join("test", "types"), "--outDir", OUT)) {
  failures.push("tsc -p test/types");
} else {
  const programs = readdirSync(OUT).filter((file) => file.endsWith(".run.js"));
  for (const program of programs) if (!run(join(OUT, program))) failures.push(program);
  console.log(`test/types compiles; ${programs.length} programs of it were run`);
}
for (const failure of failures) console.error(`FAILED: ${failure}`);
process.exitCode = failures.length === 0 ? 0 : 1;
