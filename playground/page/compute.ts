/** Runs the expensive functions in a worker, so that the page stays alive meanwhile. */
import type { Call } from "./questions.js";

interface Job {
  resolve: (value: unknown) => void;
  reject: (reason: unknown) => void;
}

let worker: Worker | undefined;
let count = 0;
const jobs = new Map<number, Job>();

/** Starts the worker, which loads the places; calls do it too. */
export function warmUp(): Worker {
  if (worker !== undefined) return worker;
  const started = new Worker(new URL("compute.worker.ts", import.meta.url), { type: "module" });
  worker = started;
  started.addEventListener("message", ({ data }: MessageEvent<{ id: number; value?: unknown; error?: string }>) => {
    const job = jobs.get(data.id);
    jobs.delete(data.id);
    if (data.error === undefined) job?.resolve(data.value);
    else job?.reject(new Error(data.error));
  });
  started.addEventListener("error", () => stop(new Error("The worker cannot be loaded.")));
  return started;
}

export function compute({ name, args }: Call): Promise<unknown> {
  const id = ++count;
  return new Promise((resolve, reject) => {
    jobs.set(id, { resolve, reject });
    warmUp().postMessage({ id, name, args });
  });
}

/** Ends whatever is being computed. */
export function stop(reason: unknown): void {
  worker?.terminate();
  worker = undefined;
  for (const job of jobs.values()) job.reject(reason);
  jobs.clear();
}
