// Node, Bun and Deno.
import { start } from "../suite/index.js";

await start(process.argv[2] as string);
