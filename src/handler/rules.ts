/** What a handler was told, and how its parts say no. */
import type { StoreTime } from "../base/clock.js";
import type { ErrorCode } from "../errors.js";
import type { BucketSigner } from "../types.js";
import type { ObjectStore } from "../types.js";
import type { Uploads } from "./uploads.js";

/** What a call of `authorize` is told. */
export interface AuthorizeContext {
  /** The HTTP request, with its body unread. */
  request: Request;
  /** What the client wants to do. */
  operation: "read" | "write" | "delete" | "list";
  /** The object key, byte for byte as it will be signed; for `list` the prefix. */
  key: string;
  /** Bytes to be written: of the whole, of one part, or of all parts when an upload is completed. */
  size: number | undefined;
  /** Seconds that the entry will live; undefined: for ever. */
  ttl: number | undefined;
  /** What the client says that it will write. */
  contentType: string | undefined;
}

/** The handler's options, checked, and what it signs with. */
export interface Rules {
  store: ObjectStore;
  signer: BucketSigner;
  clock: StoreTime;
  uploads: Uploads;
  authorize: (context: AuthorizeContext) => boolean | Promise<boolean>;
  prefix: string;
  maxBytes: number;
  /** Seconds. */
  maxTtl: number | undefined;
  /** Seconds. */
  expiresIn: number;
  contentTypes: readonly string[] | undefined;
  allowList: boolean;
}

/** Why one request is refused. The message is for the client. */
export class Refused extends Error {
  readonly code: ErrorCode;
  constructor(code: ErrorCode, message: string) {
    super(message);
    this.code = code;
  }
}

/** Why the whole batch is: who asks is not known, or asks too often. */
export class BatchRefused extends Error {
  readonly status: 401 | 429;
  constructor(status: 401 | 429) {
    super();
    this.status = status;
  }
}

/** Asks `authorize`, and throws unless it says `true`. */
export type Permit = (
  operation: AuthorizeContext["operation"],
  details?: { size?: number | undefined; ttl?: number | undefined; contentType?: string | undefined },
) => Promise<void>;

export function tooLarge(limit: number): Refused {
  return new Refused("ERR_TOO_LARGE", `more than the ${limit} bytes that are allowed`);
}
