import { toSeconds } from "../base/duration.js";
import { canonicalize, digestKey, keyHash, objectKey, sanitizeName } from "../data/key.js";
import type {
  Cache,
  CachedOptions,
  CallOptions,
  Duration,
  Grant,
  Wrapped,
  WrappedMethods,
  WrapOptions,
} from "../types.js";
import { rare } from "./edges.js";
import { stateOf } from "./lifetime.js";
import { accept, find, type Identity, load, type LoadRequest, refresh } from "./load.js";
import type { MemoryNode } from "./memory/lru.js";
import { type EntryPolicy, resolvePolicy } from "./settings.js";
import type { CacheState } from "./state.js";
import { remove } from "./store/remove.js";

/** A function that was wrapped under a name, and the way from its arguments to the copies in memory. */
interface Registration {
  fn: Function;
  /** Copies by a single string argument: most calls have one, and need no canonical text then. */
  readonly strings: Map<string, MemoryNode>;
  /** Copies by canonical arguments. */
  readonly texts: Map<string, MemoryNode>;
}

/** Longer canonical arguments are not worth keeping a second time. */
const MEMO_MAX_LENGTH = 4096;

/** The wrapped functions of one cache, by name. */
export class Functions {
  readonly #state: CacheState;
  readonly #byName = new Map<string, Registration>();

  constructor(state: CacheState) {
    this.#state = state;
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
    return new WrappedFunction(this.#state, registration, fn, options as WrapOptions).bind({});
  }

  #register(fn: Function, name: string, replace: boolean): Registration {
    const known = this.#byName.get(name);
    if (known !== undefined && !replace && known.fn !== fn && known.fn.toString() !== fn.toString()) {
      throw new TypeError(
        `another function is wrapped as ${JSON.stringify(name)} in this cache, and they would share entries: choose another name, or pass replace: true`,
      );
    }
    if (known !== undefined && !replace) return known;
    // Copies of the function that is replaced stay reachable: the entries are the same.
    const { strings, texts } = known ?? { strings: new Map(), texts: new Map() };
    const registration: Registration = { fn, strings, texts };
    this.#byName.set(name, registration);
    return registration;
  }
}

type BoundOptions = CallOptions & { expiresIn?: Duration };
type Args = unknown[];

/** One call of a wrapped function. */
interface Invocation {
  /** The `this` of the call. */
  owner: unknown;
  args: Args;
  canonical: string;
  call: BoundOptions;
}

class WrappedFunction {
  readonly #state: CacheState;
  readonly #registration: Registration;
  readonly #fn: Function;
  readonly #options: WrapOptions;
  readonly #policyOf: (...valueAndArgs: unknown[]) => EntryPolicy;
  /** The object key of the last call. */
  #recent: { canonical: string; key: string } | undefined;

  constructor(state: CacheState, registration: Registration, fn: Function, options: WrapOptions) {
    this.#state = state;
    this.#registration = registration;
    this.#fn = fn;
    this.#options = options;
    this.#policyOf = resolvePolicy(options, state.settings.entry);
  }

  /** Returns the function that users call, with the options of one request. */
  bind<F extends Function>(call: BoundOptions): Wrapped<F> {
    const cached = this.#cached(call);
    Object.defineProperty(cached, "name", { value: this.#fn.name, configurable: true });
    Object.defineProperty(cached, "length", { value: this.#fn.length, configurable: true });
    return Object.assign(cached, this.#methods(cached, call)) as unknown as Wrapped<F>;
  }

  /** Returns the function itself, whose hits in memory take the shortest way. */
  #cached(call: BoundOptions): Function {
    const self = this;
    const { memory, reporting, store, settings } = this.#state;
    const { lru } = memory;
    const { clock } = store;
    const { results } = settings.lifetime;
    const { schema } = this.#options;
    const { strings, texts } = this.#registration;
    const hasOwnKey = this.#options.key !== undefined;
    return async function (this: unknown, ...args: Args): Promise<unknown> {
      const startedAt = reporting.events.has("hit") ? performance.now() : 0;
      const [first] = args;
      const isString = !hasOwnKey && args.length === 1 && typeof first === "string";
      const memo = isString ? strings : texts;
      const memoKey = isString ? first : self.#canonical(this, args);
      const node = memo.get(memoKey);
      if (
        node !== undefined &&
        stateOf(node, clock, results) === "fresh" &&
        (schema === undefined || node.validFor === schema) &&
        call.signal?.aborted !== true
      ) {
        lru?.touch(node);
        reporting.memoryHit(node.key, startedAt);
        return node.mustCopy ? memory.handOut(node) : node.value;
      }
      const canonical = isString ? self.#canonical(this, args) : memoKey;
      return self.#load({ owner: this, args, canonical, call }, memo, memoKey);
    };
  }

  #methods(cached: Function, call: BoundOptions): WrappedMethods<Function> {
    const self = this;
    const state = this.#state;
    const invocation = (owner: unknown, args: Args): Invocation => {
      // `cached.refresh()` is called on the function itself, which is no owner.
      if (owner === cached) owner = undefined;
      return { owner, args, canonical: self.#canonical(owner, args), call };
    };
    return {
      fn: this.#fn,
      async refresh(this: unknown, ...args: Args): Promise<unknown> {
        return state.memory.handOut(await refresh(state, self.#request(invocation(this, args))));
      },
      async peek(this: unknown, ...args: Args): Promise<unknown> {
        const request = self.#request(invocation(this, args));
        const found = await find(state, request, (value) => accept(state, request, value));
        return found && state.memory.handOut(found.value);
      },
      async invalidate(this: unknown, ...args: Args): Promise<void> {
        call.signal?.throwIfAborted();
        return remove(state, self.#objectKey(invocation(this, args).canonical), call);
      },
      keyOf(this: unknown, ...args: Args): string {
        return digestKey(self.#options.name, invocation(this, args).canonical);
      },
      async presign(this: unknown, ...args: Args): Promise<Grant> {
        const request = self.#request(invocation(this, args));
        const { signal, expiresIn } = call;
        const options = { ...(signal && { signal }), ...(expiresIn !== undefined && { expiresIn }) };
        return rare(({ presignResult }) => presignResult(state, request, options));
      },
      with(options: BoundOptions): Wrapped<Function> {
        if (options.expiresIn !== undefined) toSeconds(options.expiresIn, "expiresIn");
        return self.bind({ ...call, ...options });
      },
    } as unknown as WrappedMethods<Function>;
  }

  async #load(invocation: Invocation, memo: Map<string, MemoryNode>, memoKey: string): Promise<unknown> {
    const { memory } = this.#state;
    const value = await load(this.#state, this.#request(invocation));
    // `load` has checked that it is not the result of another function with the same key.
    if (value.node !== undefined && memoKey.length <= MEMO_MAX_LENGTH) {
      memory.lru?.remember(value.node, memo, memoKey);
    }
    return memory.handOut(value);
  }

  #canonical(owner: unknown, args: Args): string {
    const { key } = this.#options;
    return key === undefined
      ? canonicalize(args)
      : canonicalize((key as (...args: Args) => unknown).apply(owner, args), "key(…)");
  }

  #objectKey(canonical: string): string {
    // A thousand callers who ask for the same at once compute its digest once.
    if (this.#recent?.canonical !== canonical) {
      const key = digestKey(this.#options.name, canonical);
      this.#recent = { canonical, key: objectKey(this.#state.settings.prefix, key) };
    }
    return this.#recent.key;
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

  #request({ owner, args, canonical, call }: Invocation): LoadRequest {
    const { name, schema, shouldCache } = this.#options;
    const key = this.#objectKey(canonical);
    return {
      key,
      // Two names may become one when they are made safe, and their loads are two then.
      flight: name === sanitizeName(name) ? key : `${key}\0${name}`,
      identity: this.#identity(canonical),
      schema,
      lifetime: this.#state.settings.lifetime.results,
      compute: () => this.#fn.apply(owner, args),
      policyOf: (value) => this.#policyOf(value, ...args),
      shouldCache: shouldCache as LoadRequest["shouldCache"],
      call,
    };
  }
}

/**
 * Makes a method decorator (TC39, stage 3) that caches what the method returns, as `cache.wrap` does. `this` is not part
 * of the key; the `key` option sees it.
 *
 * @example
 * ```ts
 * import { cached, createCache } from "bucketcache";
 * import { memoryStore } from "bucketcache/memory"; // or any other store
 *
 * const cache = createCache({ store: memoryStore() });
 *
 * class Places {
 *   @cached(cache, { name: "places" })
 *   async find(query: string) {
 *     return { query, found: 3 };
 *   }
 * }
 * console.log(await new Places().find("Berlin"));
 * ```
 *
 * @throws TypeError on anything but a method, and as `cache.wrap` does.
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
