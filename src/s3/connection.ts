/** The connection to a bucket that the requests of this folder use: who signs and how requests travel are its matter. */
import type { StoreClock } from "../base/clock.js";
import type { SignedRequest } from "../types.js";
import type { Capabilities } from "./capabilities.js";
import type { MultipartUpload, Operation, PutOperation } from "./operations.js";
import type { Limits } from "./retry.js";
import type { Send } from "./transport.js";

/** A connection that sends requests. */
export interface S3Connection {
  /** Name of the store, for errors. */
  readonly name: string;
  readonly clock: StoreClock;
  readonly capabilities: Capabilities;
  readonly send: Send;
  /** Default: `LIMITS`. Read at each use, since a client tells its own with the first signature. */
  readonly limits?: Readonly<Limits> | undefined;
}

/** A connection that also signs what is asked of one object, by a key at hand or by a handler elsewhere. */
export interface ObjectConnection extends S3Connection {
  /** `renew` asks for fresh credentials, or for a new grant: the store called the last signature expired. */
  sign(operation: Operation, renew: boolean, signal: AbortSignal | undefined): Promise<SignedRequest>;
  /** Prepares an upload in parts. Nothing is sent before its `create`. */
  upload(operation: PutOperation): MultipartUpload;
  /** Bytes of a part of an upload. */
  readonly partSize: number;
  /** Number of parts from which bytes, unlike a Blob or a stream, are uploaded in parts. Default: 8. */
  readonly partsWorthCutting?: number | undefined;
  /** Number of parts in flight. Default: 4, for stores behind a handler; `s3Store` says 3. */
  readonly concurrency?: number | undefined;
}
