/** Conditions of writes and deletes, which not every store knows. */
import { lazy } from "../base/lazy.js";
import type { CallOptions, WriteCondition } from "../types.js";
import type { ConditionUse } from "./capabilities.js";
import type { ObjectConnection } from "./connection.js";
import { conditionIn } from "./operations.js";
import { isConditionFailed, isConditionRefused } from "./refusal.js";

/** A write or a delete of one object that depends on a condition. */
export interface ConditionalCall<T> extends CallOptions {
  method: "PUT" | "DELETE";
  key: string;
  condition: WriteCondition;
  send(condition: WriteCondition): Promise<T>;
}

export class ConditionalWrites {
  readonly #connection: ObjectConnection;
  /** Loaded only for a store that refuses a condition. */
  readonly #learning = lazy(() => import("./condition-forms.js"));

  constructor(connection: ObjectConnection) {
    this.#connection = connection;
  }

  /**
   * Runs a conditional write in a form of the condition that the store takes.
   *
   * @throws BucketCacheError `ERR_CONFLICT` where the object is not the one that was seen
   */
  async run<T>(call: ConditionalCall<T>): Promise<T> {
    const { condition, method, send } = call;
    const use = useOf(condition, method);
    if (use === undefined) return send({});
    const { capabilities } = this.#connection;
    const form = capabilities.formOf(use);
    if (form === "checked") return this.#learning(({ runChecked }) => runChecked(this.#connection, call));
    try {
      const result = await send(conditionIn(form, condition));
      capabilities.proven.add(use);
      return result;
    } catch (error) {
      if (!isConditionRefused(error) || (isConditionFailed(error) && capabilities.proven.has(use))) throw error;
      return this.#learning(({ learnForm }) => learnForm(this.#connection, call, use, error));
    }
  }
}

function useOf({ ifMatch, ifNoneMatch }: WriteCondition, method: "PUT" | "DELETE"): ConditionUse | undefined {
  if (ifMatch !== undefined) return `If-Match on ${method}`;
  return ifNoneMatch === undefined ? undefined : `If-None-Match on ${method}`;
}
