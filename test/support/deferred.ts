/** A promise that is settled from outside. */
export interface Deferred<T> {
  promise: Promise<T>;
  resolve: (value: T) => void;
  reject: (reason: unknown) => void;
}

/** Makes a promise that is settled from outside. Older runtimes lack `Promise.withResolvers`. */
export function deferred<T = void>(): Deferred<T> {
  const result = {} as Deferred<T>;
  result.promise = new Promise<T>((resolve, reject) => Object.assign(result, { resolve, reject }));
  return result;
}
