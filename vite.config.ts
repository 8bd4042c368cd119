import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";
import { ALIAS } from "./.config/alias.mjs";

const page = (file: string) => fileURLToPath(new URL(`./playground/${file}`, import.meta.url));

export default defineConfig({
  resolve: { alias: ALIAS },
  // The playground: `vite build playground`, which `npm start` does where it is needed.
  build: {
    outDir: fileURLToPath(new URL("./.cache/playground", import.meta.url)),
    emptyOutDir: true,
    target: "es2022",
    rolldownOptions: { input: [page("index.html"), page("shared.html")] },
  },
  worker: { format: "es" },
  test: {
    // Two cores are what the smallest machines of CI services have.
    maxWorkers: 2,
    // An end to what hangs; far beyond what any test needs on a busy machine.
    testTimeout: 60_000,
    hookTimeout: 60_000,
    // The default of a second is not enough for a machine that is busy with other tests.
    expect: { poll: { timeout: 50_000 } },
    projects: [
      {
        extends: true,
        test: {
          name: "unit",
          include: ["test/**/*.test.ts"],
          exclude: ["test/{integration,types,runtimes,browser}/**", "**/node_modules/**"],
        },
      },
      {
        extends: true,
        test: {
          name: "integration",
          include: ["test/integration/**/*.test.ts"],
          testTimeout: 180_000,
          globalSetup: ["test/support/setup-minio.ts", "test/support/setup-python.ts"],
        },
      },
      {
        extends: true,
        test: {
          name: "e2e",
          include: ["e2e/**/*.test.ts"],
          globalSetup: ["test/support/setup-minio.ts", "e2e/support/setup.ts"],
          testTimeout: 180_000,
          hookTimeout: 180_000,
          expect: { poll: { timeout: 90_000, interval: 100 } },
          // A browser that is slow to start or to paint is no failure of what it shows.
          retry: 1,
          // After all others and one at a time: browsers are what a machine has too few of.
          maxWorkers: 1,
          sequence: { groupOrder: 1 },
        },
      },
    ],
  },
});
