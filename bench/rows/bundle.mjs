/** Bytes that a page downloads, as the project's own check measures them. */
import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { judge, statOf } from "../harness.mjs";

/** @type {import("../harness.mjs").Row[]} */
export const rows = [
  {
    name: "bundle",
    title: "Bundle of . with ./presigned, gzipped",
    async run() {
      const cwd = fileURLToPath(new URL("../..", import.meta.url));
      // Beyond its budget the check fails, and its figures are what we are after.
      const { stdout } = await promisify(execFile)(process.execPath, [".ci/size.mjs"], { cwd }).catch((error) => error);
      const goals = [];
      for (const [what, atMost] of /** @type {const} */ ([
        ["to read values", 28],
        ["to read and write values", 32],
        ["to upload in parts", 42],
      ])) {
        const size = Number(new RegExp(`([\\d.]+) KiB ${what}, limit`).exec(stdout)?.[1]);
        if (Number.isNaN(size)) throw new Error(`the check of sizes says nothing of "${what}":\n${stdout}`);
        goals.push(
          judge({
            id: `bundle/${what.replaceAll(" ", "-")}`,
            work: this.title,
            against: "",
            what,
            unit: "KiB",
            ours: statOf([size]),
            rival: undefined,
            atMost,
          }),
        );
      }
      return { sides: {}, goals };
    },
  },
];
