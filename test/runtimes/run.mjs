// npm run test:runtimes [-- NAME … --minio --only=TEXT --docs]: the suite on every runtime, or on those named;
// with --docs, docs/runtimes.md gets the table.
import { fileURLToPath } from "node:url";
import { createServer, createServerModuleRunner } from "vite";
import { ALIAS } from "../../.config/alias.mjs";

process.env["AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED"] ??= "true";

// Browser drivers listen for these signals, which alone would then end nothing. Child processes are killed on exit.
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.once(signal, () => process.exit(1));

// As Vitest does it: TypeScript is run from where it lies.
const server = await createServer({
  configFile: false,
  logLevel: "error",
  resolve: { alias: ALIAS },
  optimizeDeps: { noDiscovery: true },
  server: { middlewareMode: true, hmr: false, ws: false, watch: null },
});
const runner = createServerModuleRunner(server.environments.ssr, { hmr: false });
try {
  const { main } = await runner.import(fileURLToPath(new URL("run/main.ts", import.meta.url)));
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  // It says by itself what failed and what to do.
  if (error.name !== "SetupError") throw error;
  console.error(`\n${error.message}`);
  process.exitCode = 1;
} finally {
  await runner.close();
  await server.close();
}
