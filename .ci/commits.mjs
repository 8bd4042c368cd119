// Checks the subjects of commits: at most 72 characters, and no full stop at the end. The rule holds for the commits that
// came after this file. A clone without history shows its newest commit alone.
import { spawnSync } from "node:child_process";

const LONGEST = 72;
// The exit code by which .ci/run knows that a check could not be made.
const UNCHECKED = 77;

function git(...args) {
  const { status, stdout, stderr, error } = spawnSync("git", args, { encoding: "utf8" });
  if (status === 0) return stdout.split("\n").filter((line) => line !== "");
  console.error(`git ${args[0]} failed: ${(error?.message ?? stderr).trim()}`);
  process.exit(UNCHECKED);
}

const [first] = git("log", "--diff-filter=A", "--format=%H", "--reverse", "--", ".ci/commits.mjs");
const range = first === undefined ? ["-1"] : [`${first}..HEAD`];
// Subjects of merges are made by Git and by GitHub, which names two whole hashes.
const commits = git("log", "--no-merges", "--format=%h %s", ...range).filter((line) => !/^\S+ Merge /.test(line));

let bad = 0;
for (const commit of commits) {
  const subject = commit.slice(commit.indexOf(" ") + 1);
  const length = [...subject].length;
  const reason =
    length > LONGEST ? `has ${length} characters` : subject.endsWith(".") ? "ends with a full stop" : undefined;
  if (reason === undefined) continue;
  bad++;
  console.error(`FAILED: the subject of ${commit} ${reason}`);
}
console.log(`${commits.length} commits, ${bad} with a subject to change`);
process.exitCode = bad === 0 ? 0 : 1;
