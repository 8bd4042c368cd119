/**
 * One side of a comparison in a process of its own, so that sides share neither heap nor compiled code, and its CPU can
 * be told. It takes commands as lines of JSON and answers with marked lines, since libraries may print, too.
 */
import { createInterface } from "node:readline";

const MARK = "@bench ";

/** @type {import("./harness.mjs").Side | undefined} */
let side;

/** @param {object} answer */
const reply = (answer) => process.stdout.write(`${MARK}${JSON.stringify(answer)}\n`);

for await (const line of createInterface({ input: process.stdin })) {
  try {
    const command = JSON.parse(line);
    if (command.open !== undefined) {
      const { module, name, params } = command.open;
      const { sides } = await import(module);
      side = await sides[name](params);
      reply({ ready: true });
    } else if (command.sample !== undefined) {
      const opened = /** @type {import("./harness.mjs").Side} */ (side);
      await opened.before?.(command.sample);
      const cpu = process.cpuUsage();
      const startedAt = performance.now();
      const measured = await opened.sample(command.sample);
      const wall = performance.now() - startedAt;
      const { user, system } = process.cpuUsage(cpu);
      reply({ sample: { wall, cpu: (user + system) / 1000, ...measured } });
    } else {
      await side?.close?.();
      break;
    }
  } catch (error) {
    reply({ error: error instanceof Error ? (error.stack ?? error.message) : String(error) });
  }
}
// Connections that a client keeps open must not keep the run waiting.
process.exit(0);
