/** The rules of a handler, and the ways in which its parts refuse. */
import type { StoreTime } from "../base/clock.js";
import type { ErrorCode } from "../errors.js";
import type { BucketSigner, ObjectStore } from "../types.js";
import type { Uploads } from "./uploads.js";

/** The grant that a client asks for, as `authorize` is told of it. */
export interface AuthorizeContext {
  /** The HTTP request, with its body unread. */
  request: Request;
  /** The operation that would be granted. */
  operation: "read" | "write" | "delete" | "list";
  /** The object key, byte for byte as it will be signed; for `list` the prefix. */
  key: string;
  /** Bytes to be written: of the whole, of one part, or of all parts when an upload is completed. */
  size: number | undefined;
  /** Seconds that the entry will live; undefined: for ever. */
  ttl: number | undefined;
  /** Content type that the client says it will write. */
  contentType: string | undefined;
}

/** The handler's options, checked, and the means to carry them out. */
export interface Rules {
  store: ObjectStore;
  signer: BucketSigner;
  clock: StoreTime;
  uploads: Uploads;
  authorize: (context: AuthorizeContext) => boolean | Promise<boolean>;
  prefix: string;
  maxBytes: number;
  maxTtlSeconds: number | undefined;
  /** Life of a grant. */
  expiresInSeconds: number;
  contentTypes: readonly string[] | undefined;
  allowList: boolean;
}

/** Refuses one request of a batch. The message is for the client. */
export class Refused extends Error {
  readonly code: ErrorCode;
  constructor(code: ErrorCode, message: string) {
    super(message);
    this.code = code;
  }
}

/** Refuses the whole batch: the client is not known (401), or asks too often (429). */
export class BatchRefused extends Error {
  readonly status: 401 | 429;
  constructor(status: 401 | 429) {
    super();
    this.status = status;
  }
}

/**
 * Asks `authorize`.
 *
 * @throws Refused unless it says `true`
 */
export type Permit = (
  operation: AuthorizeContext["operation"],
  details?: { size?: number | undefined; ttl?: number | undefined; contentType?: string | undefined },
) => Promise<void>;

export function tooLarge(maxBytes: number): Refused {
  return new Refused("ERR_TOO_LARGE", `more than the ${maxBytes} bytes that are allowed`);
}
