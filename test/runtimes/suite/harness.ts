// A test runner with just the features that are needed here: small enough to run wherever JavaScript runs.

/** The test functions of any runner, as `bucketcache/testing` takes them. */
export interface Runner {
  describe(name: string, body: () => void): void;
  test(name: string, body: () => Promise<void> | void): void;
}

export interface Result {
  name: string;
  milliseconds: number;
  /** The error that was thrown, with its stack; undefined when the test passed. */
  error?: string | undefined;
}

/** Turns a hang into a failure; far beyond what any test needs on a busy machine. Milliseconds. */
const PATIENCE = 240_000;

/** Runs what `register` registers, one after the other, and tells each result as it comes. */
export async function run(
  register: (runner: Runner) => void,
  tell: (result: Result) => Promise<unknown>,
  only = "",
): Promise<void> {
  const tests: { name: string; body: () => Promise<void> | void }[] = [];
  const path: string[] = [];
  register({
    describe(name, body) {
      path.push(name);
      body();
      path.pop();
    },
    test: (name, body) => tests.push({ name: [...path, name].join(" > "), body }),
  });
  for (const { name, body } of tests) {
    if (!name.includes(only)) continue;
    const start = Date.now();
    let error: string | undefined;
    try {
      await within(PATIENCE, body);
    } catch (thrown) {
      error = describe(thrown);
    }
    await tell({ name, milliseconds: Date.now() - start, error });
  }
}

async function within(milliseconds: number, body: () => Promise<void> | void): Promise<void> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`not over after ${milliseconds / 1_000} s`)), milliseconds);
  });
  try {
    await Promise.race([body(), late]);
  } finally {
    clearTimeout(timer);
  }
}

function describe(thrown: unknown): string {
  if (!(thrown instanceof Error)) return String(thrown);
  const { stack = "", message, name } = thrown;
  const text = stack.includes(message) ? stack : `${name}: ${message}\n${stack}`;
  return thrown.cause === undefined ? text : `${text}\ncause: ${describe(thrown.cause)}`;
}
