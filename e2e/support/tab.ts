import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** A tab with a page of ours. */
export interface Tab {
  goto(url: string): Promise<void>;
  /** Runs a function in the page: it sees its argument and the page's globals, nothing of the test. Both ways JSON. */
  run<T>(code: () => T | Promise<T>): Promise<T>;
  run<T, A>(code: (argument: A) => T | Promise<T>, argument: A): Promise<T>;
}

/** Folder for screenshots and traces of failed tests; git ignores it. */
export const KEPT = join(import.meta.dirname, "../../test-results");

/** A page that is so broken that nothing can be kept of it must not hide why the test failed. */
export async function keep(name: string, content: () => Promise<Uint8Array | string>): Promise<void> {
  try {
    mkdirSync(KEPT, { recursive: true });
    writeFileSync(join(KEPT, name), await content());
  } catch (error) {
    console.error(`no ${name}: ${(error as Error).message}`);
  }
}
