/**
 * Keys in the order of their UTF-8 bytes, as S3 lists them. JavaScript compares UTF-16 units, which puts characters
 * beyond the Basic Multilingual Plane before U+E000 to U+FFFF.
 */
export class SortedKeys {
  #keys: string[] = [];

  load(keys: Iterable<string>): void {
    this.#keys = [...keys].sort(compareKeys);
  }

  add(key: string): void {
    this.#keys.splice(
      this.#firstIndex((other) => compareKeys(other, key) >= 0),
      0,
      key,
    );
  }

  delete(key: string): void {
    const index = this.#firstIndex((other) => compareKeys(other, key) >= 0);
    if (this.#keys[index] === key) this.#keys.splice(index, 1);
  }

  /** Yields the keys from the first one that is not below `from`; `skipPrefix` leaves out the rest of a common prefix. */
  *from(from: string): Generator<string, void, { skipPrefix: string } | undefined> {
    let index = this.#firstIndex((key) => compareKeys(key, from) >= 0);
    for (let key = this.#keys[index]; key !== undefined; key = this.#keys[index]) {
      const jump = yield key;
      index += 1;
      if (jump !== undefined) {
        const { skipPrefix } = jump;
        index = this.#firstIndex((other) => !other.startsWith(skipPrefix) && compareKeys(other, skipPrefix) > 0);
      }
    }
  }

  /** Searches by halves: `test` is false for some keys and true for all that follow them. */
  #firstIndex(test: (key: string) => boolean): number {
    let low = 0;
    let high = this.#keys.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (test(this.#keys[middle]!)) high = middle;
      else low = middle + 1;
    }
    return low;
  }
}

/** Returns a number below, at or above zero as the UTF-8 bytes of `a` come before, equal or follow those of `b`. */
export function compareKeys(a: string, b: string): number {
  const length = Math.min(a.length, b.length);
  for (let index = 0; index < length; index++) {
    const x = a.charCodeAt(index);
    const y = b.charCodeAt(index);
    if (x !== y) return rank(x) - rank(y);
  }
  return a.length - b.length;
}

/** Ranks a UTF-16 unit. Surrogates stand for code points above every other unit. */
function rank(unit: number): number {
  return unit >= 0xe000 ? unit - 0x800 : unit >= 0xd800 ? unit + 0x2000 : unit;
}
