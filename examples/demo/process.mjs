import { fork } from "node:child_process";
import { fileURLToPath } from "node:url";

/** @typedef {import("./worker.mjs").Job} Job */

/** A failure that a worker process reports: its message and code, without the stack of another process. */
export class WorkerError extends Error {
  /** @param {{ name?: string, message: string, code?: string }} error */
  constructor({ name, message, code }) {
    super(message);
    this.name = name ?? "Error";
    this.code = code;
  }
}

/**
 * Starts a worker process.
 *
 * @param {import("./bucket.mjs").Bucket} bucket
 * @param {AbortSignal} signal stops the worker, which first aborts what it is uploading
 */
export function startWorker(bucket, signal) {
  const child = fork(fileURLToPath(new URL("worker.mjs", import.meta.url)), {
    // Credentials go by the environment: arguments are visible to every user of the machine.
    env: { ...process.env, DEMO_BUCKET: JSON.stringify(bucket) },
  });
  const ended = new Promise((resolve) => child.once("exit", resolve));
  const onAbort = () => {
    if (child.connected) child.send({ type: "stop" });
    // A worker in the middle of a computation does not listen.
    setTimeout(() => child.kill("SIGKILL"), 1_500).unref();
  };
  signal.addEventListener("abort", onAbort);

  return {
    /**
     * @param {Job} job
     * @param {(progress: import("./worker.mjs").Transfer) => void} [onProgress]
     * @returns {Promise<any>}
     */
    run(job, onProgress) {
      return new Promise((resolve, reject) => {
        const onExit = () =>
          reject(signal.aborted ? signal.reason : new Error("a worker process of the demo has died"));
        const onMessage = (/** @type {any} */ message) => {
          if (message.type === "progress") return onProgress?.(message.progress);
          child.off("message", onMessage);
          child.off("exit", onExit);
          if (signal.aborted) reject(signal.reason);
          else if (message.type === "done") resolve(message.result);
          else reject(new WorkerError(message.error));
        };
        child.on("message", onMessage);
        child.once("exit", onExit);
        child.send(job);
      });
    },
    async end() {
      signal.removeEventListener("abort", onAbort);
      if (child.connected) child.send({ type: "exit" });
      await ended;
    },
  };
}
