/**
 * Detects in one place what the runtime can do. Nothing runs at import, and `globalThis` is read each time, so that a page
 * may install a polyfill later.
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

/** Returns a Node built-in without importing it, so that bundles for browsers and workers hold no `node:` specifier. */
export function nodeBuiltin<T>(name: `node:${string}`): T | undefined {
  try {
    return nodeProcess()?.getBuiltinModule?.(name) as T | undefined;
  } catch {
    // Some bundlers replace `process` with a stub whose methods throw.
    return undefined;
  }
}

/** Tells whether this is Node itself. Bun and Deno have `process` too, but a `fetch` that is faster than their `node:http`. */
export function isNode(): boolean {
  const versions = nodeProcess()?.versions;
  return versions?.["node"] !== undefined && versions["bun"] === undefined && versions["deno"] === undefined;
}

/** Tells whether this is Cloudflare's workerd, where I/O belongs to the request that began it. */
export function isWorkerd(): boolean {
  return (globalThis as { navigator?: { userAgent?: string } }).navigator?.userAgent === "Cloudflare-Workers";
}

/** Tells whether this is a page or a web worker, where CORS filters responses and uploads cannot be streamed. */
export function isBrowser(): boolean {
  const scope = globalThis as { document?: unknown; WorkerGlobalScope?: unknown };
  return (scope.document !== undefined || scope.WorkerGlobalScope !== undefined) && !isNode() && !isWorkerd();
}

/** Reports an error of the user's code, where throwing it would end the process or disturb an innocent caller. */
export function reportError(error: unknown): void {
  const { reportError: report } = globalThis as { reportError?: (error: unknown) => void };
  const process = nodeProcess();
  if (process?.emitWarning !== undefined) process.emitWarning(error instanceof Error ? error : String(error));
  else report?.(error);
}

/** Returns an environment variable, where there is an environment that may be read (Deno asks for permission). */
export function environment(name: string): string | undefined {
  try {
    const value = nodeProcess()?.env?.[name];
    return value === "" ? undefined : value;
  } catch {
    return undefined;
  }
}
