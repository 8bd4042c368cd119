/** A promise that its owner settles from outside. */
export interface Deferred<T> {
  promise: Promise<T>;
  resolve(value: T): void;
  reject(reason: unknown): void;
}

/** Does what `Promise.withResolvers` does, which older runtimes lack. Imports nothing: the suite of all runtimes uses it. */
export function deferred<T = void>(): Deferred<T> {
  let settlers!: Omit<Deferred<T>, "promise">;
  const promise = new Promise<T>((resolve, reject) => (settlers = { resolve, reject }));
  return { promise, ...settlers };
}
