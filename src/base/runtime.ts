/**
 * What the runtime can do, detected in one place and when first asked: nothing runs at import.
 * `globalThis` is read each time, so that a page that installs a polyfill later is served too.
 */
type NodeProcess = {
  versions?: Record<string, string | undefined>;
  env?: Record<string, string | undefined>;
  getBuiltinModule?: (name: string) => unknown;
  emitWarning?: (warning: Error | string) => void;
};

function nodeProcess(): NodeProcess | undefined {
  return (globalThis as { process?: NodeProcess }).process;
}

/** A Node built-in without an import of it, so that bundles for browsers and workers hold no `node:` specifier. */
export function nodeBuiltin<T>(name: `node:${string}`): T | undefined {
  try {
    return nodeProcess()?.getBuiltinModule?.(name) as T | undefined;
  } catch {
    // Some bundlers replace `process` with a stub whose methods throw.
    return undefined;
  }
}

/** True on Node itself; Bun and Deno have `process` too, and a faster `fetch` than their `node:http`. */
export function isNode(): boolean {
  const versions = nodeProcess()?.versions;
  return versions?.["node"] !== undefined && versions["bun"] === undefined && versions["deno"] === undefined;
}

/** True on Cloudflare's workerd, where I/O belongs to the request that began it. */
export function isWorkerd(): boolean {
  return (globalThis as { navigator?: { userAgent?: string } }).navigator?.userAgent === "Cloudflare-Workers";
}

/** True in a page or a web worker: responses are filtered by CORS, and uploads cannot be streamed. */
export function isBrowser(): boolean {
  const scope = globalThis as { document?: unknown; WorkerGlobalScope?: unknown };
  return (scope.document !== undefined || scope.WorkerGlobalScope !== undefined) && !isNode() && !isWorkerd();
}

/** Makes an error of the user's own code seen, where throwing it would end the process or disturb who is not to blame. */
export function reportError(error: unknown): void {
  const { reportError: report } = globalThis as { reportError?: (error: unknown) => void };
  const process = nodeProcess();
  if (process?.emitWarning !== undefined) process.emitWarning(error instanceof Error ? error : String(error));
  else report?.(error);
}

/** An environment variable, where there is an environment and it may be read (Deno asks for permission). */
export function environment(name: string): string | undefined {
  try {
    const value = nodeProcess()?.env?.[name];
    return value === "" ? undefined : value;
  } catch {
    return undefined;
  }
}
