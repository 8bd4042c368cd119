import { canonicalize, digestKey, keyHash, sanitizeName } from "../data/key.js";
import { toSeconds } from "../base/duration.js";
import type { Layers } from "./layers.js";
import type * as EngineModule from "./engine.js";
import type { Identity, LoadRequest } from "./load.js";
import type { MemoryNode } from "./memory/lru.js";
import { type EntryPolicy, resolveEntry, resolveTtl } from "./settings.js";
import type { Cache, CachedOptions, CallOptions, Duration, Grant, Wrapped, WrapOptions } from "../types.js";

/** Runs work that needs the engine, which may have to be loaded first. */
export type Engine = <T>(work: (engine: typeof EngineModule) => Promise<T>) => Promise<T>;

/** A function that was wrapped under a name, and the way from its arguments to what memory holds. */
interface Registration {
  fn: Function;
  /** By a single string argument, which is most calls, without making it canonical. */
  readonly strings: Map<string, MemoryNode>;
  /** By canonical arguments. */
  readonly texts: Map<string, MemoryNode>;
}

/** Longer canonical arguments are not worth keeping a second time. */
const MEMO_MAX_LENGTH = 4096;

/** The wrapped functions of one cache, by name. */
export class Functions {
  readonly #layers: Layers;
  readonly #engine: Engine;
  readonly #byName = new Map<string, Registration>();

  constructor(layers: Layers, engine: Engine) {
    this.#layers = layers;
    this.#engine = engine;
  }

  wrap<F extends Function>(fn: F, options: WrapOptions<F>): Wrapped<F> {
    if (typeof fn !== "function") throw new TypeError("wrap needs a function");
    const name = options?.name;
    if (typeof name !== "string" || name === "") {
      throw new TypeError(
        'wrap needs a name: wrap(fn, { name: "…" }). Entries are stored under it, and a function\'s own name does not survive a minifier',
      );
    }
    sanitizeName(name);
    const registration = this.#register(fn, name, options.replace === true);
    return new WrappedFunction(this.#layers, this.#engine, registration, fn, options as WrapOptions).bind({});
  }

  #register(fn: Function, name: string, replace: boolean): Registration {
    const known = this.#byName.get(name);
    if (known !== undefined && !replace && known.fn !== fn && known.fn.toString() !== fn.toString()) {
      throw new TypeError(
        `another function is wrapped as ${JSON.stringify(name)} in this cache, and they would share entries: choose another name, or pass replace: true`,
      );
    }
    if (known !== undefined && !replace) return known;
    // What memory has of the function that is replaced stays reachable: the entries are the same.
    const { strings, texts } = known ?? { strings: new Map(), texts: new Map() };
    const registration: Registration = { fn, strings, texts };
    this.#byName.set(name, registration);
    return registration;
  }
}

type Call = CallOptions & { expiresIn?: Duration };
type Args = readonly unknown[];

class WrappedFunction {
  readonly #layers: Layers;
  readonly #engine: Engine;
  readonly #registration: Registration;
  readonly #fn: Function;
  readonly #options: WrapOptions;
  readonly #policy: EntryPolicy;
  readonly #revalidateAfter: number;
  /** The object key that was asked for last. */
  #recent: { canonical: string; key: string } | undefined;

  constructor(layers: Layers, engine: Engine, registration: Registration, fn: Function, options: WrapOptions) {
    this.#layers = layers;
    this.#engine = engine;
    this.#registration = registration;
    this.#fn = fn;
    this.#options = options;
    const { ttl, ...others } = options;
    this.#policy = resolveEntry(
      typeof ttl === "function" || ttl === undefined ? others : { ...others, ttl },
      layers.settings.entry,
    );
    this.#revalidateAfter = layers.settings.memory?.revalidateResults ?? Infinity;
  }

  bind<F extends Function>(call: Call): Wrapped<F> {
    const self = this;
    const { strings, texts } = this.#registration;
    const { memory } = this.#layers;
    const byString = this.#options.key === undefined;
    const wrapped = async function (this: unknown, ...args: unknown[]): Promise<unknown> {
      const startedAt = self.#layers.events.has("hit") ? performance.now() : 0;
      const [first] = args;
      const isString = byString && args.length === 1 && typeof first === "string";
      const memo = isString ? strings : texts;
      const memoKey = isString ? first : self.#canonical(this, args);
      const node = memo.get(memoKey);
      if (node !== undefined && self.#isFresh(node) && call.signal?.aborted !== true) {
        memory?.touch(node);
        self.#layers.hitMemory(node, startedAt);
        return node.copied ? self.#layers.handOut(node) : node.value;
      }
      return self.#load(this, args, isString ? self.#canonical(this, args) : memoKey, memo, memoKey, call);
    };
    // `wrapped.refresh()` is called on the function itself, which is nobody's `this`.
    const ownerOf = (self: unknown): unknown => (self === wrapped ? undefined : self);
    const requestOf = (of: unknown, args: Args): LoadRequest => {
      const owner = ownerOf(of);
      return self.#request(owner, args, self.#canonical(owner, args), call);
    };
    Object.defineProperty(wrapped, "name", { value: this.#fn.name, configurable: true });
    Object.defineProperty(wrapped, "length", { value: this.#fn.length, configurable: true });
    return Object.assign(wrapped, {
      fn: this.#fn,
      async refresh(this: unknown, ...args: unknown[]): Promise<unknown> {
        const request = requestOf(this, args);
        return self.#engine(async ({ refresh }) => self.#layers.handOut(await refresh(self.#layers, request)));
      },
      async peek(this: unknown, ...args: unknown[]): Promise<unknown> {
        const request = requestOf(this, args);
        return self.#engine(({ peekResult }) => peekResult(self.#layers, request));
      },
      async invalidate(this: unknown, ...args: unknown[]): Promise<void> {
        call.signal?.throwIfAborted();
        const key = self.#objectKey(self.#canonical(ownerOf(this), args));
        return self.#engine(({ remove }) => remove(self.#layers, key, call));
      },
      keyOf(this: unknown, ...args: unknown[]): string {
        return digestKey(self.#options.name, self.#canonical(ownerOf(this), args));
      },
      async presign(this: unknown, ...args: unknown[]): Promise<Grant> {
        const request = requestOf(this, args);
        const { signal, expiresIn } = call;
        const options = { ...(signal && { signal }), ...(expiresIn !== undefined && { expiresIn }) };
        return self.#engine(({ presignResult }) => presignResult(self.#layers, request, options));
      },
      with(options: Call): Wrapped<F> {
        if (options.expiresIn !== undefined) toSeconds(options.expiresIn, "expiresIn");
        return self.bind({ ...call, ...options });
      },
    }) as unknown as Wrapped<F>;
  }

  #isFresh(node: MemoryNode): boolean {
    if (node.deadline !== Infinity && this.#layers.clock.now() >= node.deadline) return false;
    if (this.#revalidateAfter !== Infinity && !node.isFresh(this.#revalidateAfter)) return false;
    return this.#options.schema === undefined || node.validFor === this.#options.schema;
  }

  #canonical(self: unknown, args: Args): string {
    const { key } = this.#options;
    return key === undefined
      ? canonicalize(args)
      : canonicalize((key as (...args: Args) => unknown).apply(self, args as unknown[]), "key(…)");
  }

  #objectKey(canonical: string): string {
    // A thousand who ask for the same at once compute its digest once.
    if (this.#recent?.canonical !== canonical) {
      this.#recent = { canonical, key: this.#layers.objectKey(digestKey(this.#options.name, canonical)) };
    }
    return this.#recent.key;
  }

  #load(
    self: unknown,
    args: Args,
    canonical: string,
    memo: Map<string, MemoryNode>,
    memoKey: string,
    call: Call,
  ): Promise<unknown> {
    const request = this.#request(self, args, canonical, call);
    return this.#engine(async ({ load }) => {
      const found = await load(this.#layers, request);
      // Not the result of a function of another name that has the same key: `load` has checked it.
      if (found.node !== undefined && memoKey.length <= MEMO_MAX_LENGTH) {
        this.#layers.memory?.remember(found.node, memo, memoKey);
      }
      return this.#layers.handOut(found);
    });
  }

  #identity(canonical: string): Identity {
    let hash: Promise<string | undefined> | undefined;
    const { strings, texts } = this.#registration;
    return {
      hash: () => (hash ??= keyHash(this.#options.name, canonical)),
      owns: ({ memo, memoKey }) =>
        memo === texts ? memoKey === canonical : memo === strings && canonicalize([memoKey]) === canonical,
    };
  }

  #request(self: unknown, args: Args, canonical: string, call: Call): LoadRequest {
    const { name, ttl, schema, shouldCache } = this.#options;
    const key = this.#objectKey(canonical);
    return {
      key,
      // Two names may become one when they are made safe, and then their loads are two.
      flight: name === sanitizeName(name) ? key : `${key}\0${name}`,
      identity: this.#identity(canonical),
      schema,
      revalidateAfter: this.#revalidateAfter,
      compute: () => this.#fn.apply(self, args),
      policyOf: (value) =>
        typeof ttl === "function"
          ? { ...this.#policy, ttl: resolveTtl((ttl as (value: unknown, ...args: Args) => Duration)(value, ...args)) }
          : this.#policy,
      shouldCache: shouldCache as LoadRequest["shouldCache"],
      call,
    };
  }
}

/**
 * A method decorator (TC39, stage 3) that caches what the method returns, as `cache.wrap` does. `this` is not part of
 * the key; the `key` option sees it.
 *
 * @throws TypeError on anything but a method, and as `cache.wrap` does
 */
export function cached(
  cache: Cache,
  options: CachedOptions,
): <F extends (this: any, ...args: any) => Promise<any>>(method: F, context: ClassMethodDecoratorContext<any, F>) => F {
  return (method, context) => {
    if (context?.kind !== "method") {
      throw new TypeError(
        typeof context === "object"
          ? `cached decorates methods; ${String(context.name)} is a ${String(context.kind)}`
          : "cached is a TC39 decorator: switch experimentalDecorators off, or use cache.wrap",
      );
    }
    return cache.wrap(method, options as never) as unknown as typeof method;
  };
}
