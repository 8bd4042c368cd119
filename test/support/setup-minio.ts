import type { TestProject } from "vitest/node";
import { startMinio, type Minio } from "./minio.js";
import { required } from "./tools.js";

declare module "vitest" {
  export interface ProvidedContext {
    minio: Minio;
  }
}

/** Vitest's global set-up: one MinIO for all test files, which reach it by `inject("minio")`. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const { minio, stop } = await required(startMinio());
  project.provide("minio", minio);
  return stop;
}
