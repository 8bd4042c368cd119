/** True when two types are the same, not merely assignable to each other. */
type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;

/** `expectType<string>()(value)` compiles when the value's type is exactly `string`. */
export function expectType<Expected>() {
  return <Actual>(
    _value: Actual,
    ..._wrong: Same<Actual, Expected> extends true ? [] : ["the type is another one", Actual]
  ): void => {};
}
