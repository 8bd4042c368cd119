/** Credentials: static keys, or a provider that returns them. */
import { failure } from "../s3/failure.js";
import { environment } from "../base/runtime.js";

/** Keys that sign requests. */
export interface Credentials {
  /** Name of the key, which is no secret. */
  accessKeyId: string;
  /** Secret that signs. It is never sent. */
  secretAccessKey: string;
  /** Token of temporary credentials, which is sent with each request. A blank one counts as none. */
  sessionToken?: string | undefined;
  /** Time at which the credentials end; a text is read as a date. Fresh ones are asked for five minutes earlier. */
  expiration?: Date | string | undefined;
}

/** Credentials as they sign: a token is not blank, and the end is a date. */
export interface Identity extends Credentials {
  sessionToken?: string;
  expiration?: Date;
}

/** Resolves to credentials. The SDK's providers take `forceRefresh`; those of users take nothing. */
export type Provider = (options?: { forceRefresh?: boolean }) => Promise<Credentials>;

/** New credentials are asked for this long before the old ones end. */
const RENEW_BEFORE_MS = 5 * 60_000;

/** The credentials of a store, kept until shortly before they end. Concurrent callers share one request for them. */
export class CredentialSource {
  readonly #provider: Provider;
  readonly #store: string;
  readonly #advice: string;
  #current: Identity | undefined;
  #pending: Promise<Identity> | undefined;

  /** `advice` says what to do when the provider fails. */
  constructor(
    source: Credentials | Provider,
    store: string,
    advice = "pass `credentials`, or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
  ) {
    this.#store = store;
    this.#advice = advice;
    if (typeof source === "function") this.#provider = source;
    else {
      toIdentity(source, store);
      this.#provider = () => Promise.resolve(source);
    }
  }

  /** Returns no promise where the credentials are at hand, since each signature asks for them. */
  get(renew = false): Identity | Promise<Identity> {
    const current = this.#current;
    if (current !== undefined && !renew && !(Number(current.expiration ?? Infinity) - RENEW_BEFORE_MS < Date.now()))
      return current;
    return (this.#pending ??= this.#fetch(renew).finally(() => (this.#pending = undefined)));
  }

  async #fetch(renew: boolean): Promise<Identity> {
    let credentials: Credentials;
    try {
      credentials = await this.#provider(renew ? { forceRefresh: true } : undefined);
    } catch (error) {
      // Old credentials that still hold are better than none.
      if (!renew && this.#current !== undefined && Number(this.#current.expiration) > Date.now()) return this.#current;
      if ((error as { name?: string }).name === "BucketCacheError") throw error;
      throw failure(
        "ERR_CREDENTIALS",
        `no credentials: ${(error as Error)?.message}; ${this.#advice}`,
        { store: this.#store },
        {},
        error,
      );
    }
    return (this.#current = toIdentity(credentials, this.#store));
  }
}

/** @throws BucketCacheError `ERR_CREDENTIALS` for keys that are none, and for an end that is no date */
function toIdentity(credentials: Credentials, store: string): Identity {
  const { accessKeyId, secretAccessKey, sessionToken, expiration } = (credentials ?? {}) as Partial<Credentials>;
  if (
    typeof accessKeyId !== "string" ||
    typeof secretAccessKey !== "string" ||
    accessKeyId === "" ||
    secretAccessKey === ""
  ) {
    throw failure("ERR_CREDENTIALS", "credentials must hold accessKeyId and secretAccessKey", { store });
  }
  const end = expiration === undefined || expiration === "" ? undefined : new Date(expiration);
  if (end !== undefined && Number.isNaN(end.getTime())) {
    throw failure("ERR_CREDENTIALS", `expiration of the credentials must be a date; got ${String(expiration)}`, {
      store,
    });
  }
  if (sessionToken !== "" && typeof expiration !== "string") return credentials as Identity;
  return {
    accessKeyId,
    secretAccessKey,
    ...(sessionToken !== undefined && sessionToken !== "" && { sessionToken }),
    ...(end !== undefined && { expiration: end }),
  };
}

/** Returns the keys of the environment, if it holds any. */
export function environmentCredentials(): Credentials | undefined {
  const accessKeyId = environment("AWS_ACCESS_KEY_ID");
  const secretAccessKey = environment("AWS_SECRET_ACCESS_KEY");
  if (accessKeyId === undefined || secretAccessKey === undefined) return undefined;
  const sessionToken = environment("AWS_SESSION_TOKEN");
  const expiration = environment("AWS_CREDENTIAL_EXPIRATION");
  return {
    accessKeyId,
    secretAccessKey,
    ...(sessionToken !== undefined && { sessionToken }),
    ...(expiration !== undefined && { expiration }),
  };
}
