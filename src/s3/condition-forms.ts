/**
 * Finds the form of a condition that a store takes. Some stores answer 412 to an ETag in quotes although the object has
 * it, and some know no conditions at all. Loaded when a store first refuses a condition.
 */
import { isBucketCacheError } from "../errors.js";
import type { ObjectHead } from "../types.js";
import type { Capabilities, ConditionForm, ConditionUse } from "./capabilities.js";
import type { ConditionalCall } from "./conditional-writes.js";
import type { ObjectConnection } from "./connection.js";
import { quotedEtag } from "./etag.js";
import { failure } from "./failure.js";
import { conditionIn } from "./operations.js";
import { headObject } from "./read-object.js";
import { isConditionFailed, isConditionRefused } from "./refusal.js";

/**
 * How often a condition must fail on an absent object before the store is blamed. An object that others write and delete
 * may be absent before and after a condition failed; one that is there tells by its time and metadata that it is the same.
 */
const FAILURES_WHILE_ABSENT = 4;

/** An object that keeps changing is a conflict. */
const MAX_ATTEMPTS = 12;

/** The outcome of a HEAD, where one is allowed. */
type Seen = { head: ObjectHead | undefined } | undefined;

/**
 * Goes on with a write whose condition was refused. A conflict is thrown as such. Where the condition is not at fault,
 * the write is tried in the next form, and the form that succeeds is learned.
 */
export async function learnForm<T>(
  connection: ObjectConnection,
  call: ConditionalCall<T>,
  use: ConditionUse,
  refusal: unknown,
): Promise<T> {
  const { capabilities } = connection;
  const known = capabilities.formOf(use);
  let form = known;
  let error = refusal;
  /** The object as it was before the last attempt, and the attempts that have failed since it was first seen so. */
  let before: string | undefined;
  let failures = 0;
  for (let attempt = 1; attempt <= MAX_ATTEMPTS; attempt++) {
    // A 400 may be a proxy's, and pass.
    let isProven = isUnknown(error) || failures > 0;
    if (!isConditionFailed(error)) failures++;
    else {
      const seen = await look(connection, call);
      if (seen === undefined || !holds(call, seen.head)) throw error;
      const now = identityOf(seen.head);
      failures = now === before ? failures + 1 : 0;
      before = now;
      isProven = failures >= (seen.head === undefined ? FAILURES_WHILE_ABSENT : 1);
    }
    if (isProven) {
      form = nextForm(form, call, error);
      failures = 0;
    }
    try {
      const result = await (form === "checked"
        ? runChecked(connection, call)
        : call.send(conditionIn(form, call.condition)));
      if (form !== known) keepForm(capabilities, use, form);
      return result;
    } catch (next) {
      if (form === "checked" || !isConditionRefused(next)) throw next;
      error = next;
    }
  }
  throw error;
}

function keepForm(capabilities: Capabilities, use: ConditionUse, form: ConditionForm): void {
  if (capabilities.formOf(use) === form) return;
  capabilities.setForm(use, form);
  capabilities.report(
    form === "unquoted"
      ? `takes ${use} only without the quotes of the ETag, and gets it so from now on`
      : `does not know the condition ${use}: a HEAD before each such request takes its place`,
  );
}

/**
 * Runs a write for which a HEAD takes the place of the condition.
 *
 * @throws BucketCacheError `ERR_CONFLICT` where the object is not the one that was seen
 */
export async function runChecked<T>(connection: ObjectConnection, call: ConditionalCall<T>): Promise<T> {
  const seen = await look(connection, call);
  if (seen !== undefined && !holds(call, seen.head)) {
    const { key } = call;
    throw failure("ERR_CONFLICT", "another write came first: a HEAD showed another object than before", {
      store: connection.name,
      key,
    });
  }
  return call.send({});
}

function nextForm<T>(form: ConditionForm, { condition }: ConditionalCall<T>, error: unknown): ConditionForm {
  return form === "quoted" && condition.ifMatch !== undefined && !isUnknown(error) ? "unquoted" : "checked";
}

function isUnknown(error: unknown): boolean {
  return isBucketCacheError(error) && error.status === 501;
}

/** Looks at the object. Undefined where the credentials, or the grants, do not allow it. */
async function look<T>(connection: ObjectConnection, { key, signal }: ConditionalCall<T>): Promise<Seen> {
  try {
    return { head: await headObject(connection, key, { signal }) };
  } catch (error) {
    if (isBucketCacheError(error) && error.code === "ERR_FORBIDDEN") return undefined;
    throw error;
  }
}

function holds<T>({ condition }: ConditionalCall<T>, head: ObjectHead | undefined): boolean {
  const { ifMatch } = condition;
  return ifMatch === undefined ? head === undefined : head?.etag === quotedEtag(ifMatch);
}

/** Returns what changes with each write, as far as a HEAD shows it. */
function identityOf(head: ObjectHead | undefined): string {
  return head === undefined ? "" : [head.etag, +head.lastModified, head.versionId, head.metadata["entry"]].join(" ");
}
