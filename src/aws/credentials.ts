/** Who signs: static keys, a provider, a client's, the environment's, else the SDK's default chain. */
import { failure } from "../s3/refusal.js";
import { environment } from "../base/runtime.js";

/** Who signs. */
export interface Credentials {
  /** Names the key; not a secret. */
  accessKeyId: string;
  /** Signs; never sent. */
  secretAccessKey: string;
  /** Comes with temporary credentials, and is sent with each request. */
  sessionToken?: string;
  /** When they end; fresh ones are asked for five minutes earlier. */
  expiration?: Date;
}

/** The SDK's providers take `forceRefresh`; ours take nothing. */
export type Provider = (options?: { forceRefresh?: boolean }) => Promise<Credentials>;

/** Asks for new credentials so long before the old ones end. Milliseconds. */
const EARLY = 5 * 60_000;

/** The SDK's chain, an optional peer, or the error that says how to get it. */
async function sdkChain(store: string): Promise<Provider> {
  try {
    // Written right inside of `try`: that tells bundlers that it may be missing.
    const { defaultProvider } = await import("@aws-sdk/credential-provider-node");
    // A new provider each time: it remembers what it gave, and remembering is done here.
    return defaultProvider();
  } catch (error) {
    const name = "@aws-sdk/credential-provider-node";
    throw failure("ERR_MISSING_PEER", `${name} is not installed: npm install ${name}`, { store }, {}, error);
  }
}

/** What a provider gave, until shortly before it ends. Concurrent callers share one request for it. */
export class CredentialSource {
  readonly #provider: Provider;
  readonly #store: string;
  #current: Credentials | undefined;
  #pending: Promise<Credentials> | undefined;

  constructor(source: Credentials | Provider | undefined, store: string) {
    this.#store = store;
    if (typeof source === "function") this.#provider = source;
    else if (source === undefined) this.#provider = () => defaultCredentials(store);
    else {
      check(source, store);
      this.#provider = () => Promise.resolve(source);
    }
  }

  /** Without a promise when they are at hand: it is asked for at each signature. */
  get(renew = false): Credentials | Promise<Credentials> {
    const current = this.#current;
    if (current !== undefined && !renew && !(Number(current.expiration ?? Infinity) - EARLY < Date.now()))
      return current;
    return (this.#pending ??= this.#fetch(renew).finally(() => (this.#pending = undefined)));
  }

  async #fetch(renew: boolean): Promise<Credentials> {
    let credentials: Credentials;
    try {
      credentials = await this.#provider(renew ? { forceRefresh: true } : undefined);
    } catch (error) {
      // An old set that still holds is better than none.
      if (!renew && this.#current !== undefined && Number(this.#current.expiration) > Date.now()) return this.#current;
      if ((error as { name?: string }).name === "BucketCacheError") throw error;
      throw failure(
        "ERR_CREDENTIALS",
        `no credentials: ${(error as Error)?.message}; pass \`credentials\`, or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY`,
        { store: this.#store },
        {},
        error,
      );
    }
    check(credentials, this.#store);
    return (this.#current = credentials);
  }
}

function check(credentials: Credentials, store: string): void {
  const { accessKeyId, secretAccessKey } = (credentials ?? {}) as Partial<Credentials>;
  if (
    typeof accessKeyId !== "string" ||
    typeof secretAccessKey !== "string" ||
    accessKeyId === "" ||
    secretAccessKey === ""
  ) {
    throw failure("ERR_CREDENTIALS", "credentials must hold accessKeyId and secretAccessKey", { store });
  }
}

async function defaultCredentials(store: string): Promise<Credentials> {
  const accessKeyId = environment("AWS_ACCESS_KEY_ID");
  const secretAccessKey = environment("AWS_SECRET_ACCESS_KEY");
  if (accessKeyId !== undefined && secretAccessKey !== undefined) {
    const sessionToken = environment("AWS_SESSION_TOKEN");
    const expiration = environment("AWS_CREDENTIAL_EXPIRATION");
    return {
      accessKeyId,
      secretAccessKey,
      ...(sessionToken !== undefined && { sessionToken }),
      ...(expiration !== undefined && { expiration: new Date(expiration) }),
    };
  }
  return (await sdkChain(store))();
}
