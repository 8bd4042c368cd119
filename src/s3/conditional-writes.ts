/** Conditions of writes and deletes, which not every store knows. */
import type { WriteCondition } from "../types.js";
import { isConditionUnknown } from "./refusal.js";

export class ConditionalWrites {
  /** False once the store has answered 501 to a condition, and has done the same without it. */
  #supported = true;

  /** Runs a conditional write, and again without its condition where the store knows none. */
  async run<T>(condition: WriteCondition, write: (condition: WriteCondition) => Promise<T>): Promise<T> {
    if (!this.#supported) return write({});
    try {
      return await write(condition);
    } catch (error) {
      if (!isConditionUnknown(error) || Object.keys(condition).length === 0) throw error;
      const result = await write({});
      this.#supported = false;
      return result;
    }
  }
}
