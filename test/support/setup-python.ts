import type { TestProject } from "vitest/node";
import { ensurePython } from "./python.js";
import { required } from "./tools.js";

declare module "vitest" {
  export interface ProvidedContext {
    /** The interpreter that has boto3, awscli, core_aws and etl_pycache. */
    python: string;
  }
}

/** Vitest's global set-up: test files reach the interpreter by `inject("python")`. */
export default async function setup(project: TestProject): Promise<void> {
  project.provide("python", await required(ensurePython()));
}
