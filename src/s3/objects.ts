/** Reads, writes and deletes of objects by signed requests, whoever signs them. */
import type { ObjectStore, WriteCondition, WrittenObject } from "../types.js";
import { ConditionalWrites } from "./conditional-writes.js";
import type { ObjectConnection } from "./connection.js";
import { conditionOf } from "./operations.js";
import { perform } from "./perform.js";
import { getObject, headObject, type GetOptions, type GetResult } from "./read-object.js";
import { isAbsent } from "./refusal.js";
import { ObjectWriter, type ObjectBody, type S3PutOptions } from "./write-object.js";

export type ObjectClient = Pick<ObjectStore, "head" | "delete"> & {
  put(key: string, body: ObjectBody, options: S3PutOptions): Promise<WrittenObject>;
  get(key: string, options?: GetOptions): Promise<GetResult>;
};

type DeleteOptions = Parameters<ObjectStore["delete"]>[1];

export function objectClient(connection: ObjectConnection): ObjectClient {
  const conditions = new ConditionalWrites(connection);
  const writer = new ObjectWriter(connection, conditions);
  return {
    get: (key, options) => getObject(connection, key, options),
    head: (key, options) => headObject(connection, key, options),
    put: (key, body, options) => writer.put(key, body, options),
    delete: (key, options) => deleteObject(connection, conditions, key, options),
  };
}

async function deleteObject(
  connection: ObjectConnection,
  conditions: ConditionalWrites,
  key: string,
  { signal, ifMatch, versionId }: DeleteOptions = {},
): Promise<void> {
  const action = versionId === undefined ? "s3:DeleteObject" : "s3:DeleteObjectVersion";
  const send = (condition: WriteCondition) =>
    perform<void>(connection, {
      purpose: { store: connection.name, key, action },
      sign: (renew) => connection.sign({ op: "delete", key, versionId, ifMatch: condition.ifMatch }, renew, signal),
      signal,
      recover: (refusal) => (isAbsent(refusal) ? { value: undefined } : undefined),
      accept: (response) => response.cancel(),
    });
  await conditions.run({ method: "DELETE", key, condition: conditionOf({ ifMatch }), signal, send });
}
