import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type AddressInfo } from "node:net";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";
import type { TestProject } from "vitest/node";

export interface Minio {
  endpoint: string;
  accessKeyId: string;
  secretAccessKey: string;
}

declare module "vitest" {
  export interface ProvidedContext {
    minio: Minio;
  }
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

export default async function setup(project: TestProject) {
  const port = await freePort();
  const folder = mkdtempSync(join(tmpdir(), "bucketcache-minio-"));
  const minio: Minio = {
    endpoint: `http://127.0.0.1:${port}`,
    accessKeyId: randomBytes(10).toString("hex"),
    secretAccessKey: randomBytes(20).toString("hex"),
  };
  const cache = process.env["BUCKETCACHE_CACHE"] ?? join(homedir(), ".cache", "bucketcache");
  const child = spawn(join(cache, "bin", "minio"), ["server", folder, "--address", `127.0.0.1:${port}`], {
    stdio: "ignore",
    env: {
      ...process.env,
      MINIO_ROOT_USER: minio.accessKeyId,
      MINIO_ROOT_PASSWORD: minio.secretAccessKey,
      MINIO_BROWSER: "off",
    },
  });
  for (;;) {
    const answer = await fetch(`${minio.endpoint}/minio/health/live`).catch(() => undefined);
    await answer?.body?.cancel();
    if (answer?.ok) break;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  project.provide("minio", minio);
  return async () => {
    child.kill("SIGKILL");
    rmSync(folder, { recursive: true, force: true });
  };
}
