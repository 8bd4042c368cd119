/** Grants to read, kept for the next read of the same key. */
import type { StoreClock } from "../base/clock.js";
import type { SignedRequest } from "../types.js";
import type { HandlerClient } from "./handler-client.js";

/** Number of grants that are kept; the oldest make room. */
const MAX_GRANTS = 10_000;

/** A grant is not used so shortly before its end, or in the last fifth of its life where that is shorter. */
const MARGIN_MS = 10_000;

interface ReadGrant {
  grant: Promise<SignedRequest>;
  /** Unix milliseconds; `Infinity` until the grant has come. */
  usableUntil: number;
}

export class ReadGrants {
  readonly #handler: HandlerClient;
  readonly #clock: StoreClock;
  readonly #grants = new Map<string, ReadGrant>();

  constructor(handler: HandlerClient, clock: StoreClock) {
    this.#handler = handler;
    this.#clock = clock;
  }

  /** Returns the grant that is at hand, or asks for one: always with `renew`, which says that the store refused the old one. */
  get(op: "get" | "head", key: string, renew = false): Promise<SignedRequest> {
    const id = `${op} ${key}`;
    const known = this.#grants.get(id);
    if (known !== undefined && !renew && known.usableUntil > this.#clock.now()) return known.grant;
    const asked: ReadGrant = { grant: this.#handler.sign({ op, key }), usableUntil: Infinity };
    this.#keep(id, asked);
    asked.grant.then(
      ({ expiresAt }) => {
        const endMs = expiresAt * 1_000;
        asked.usableUntil = endMs - Math.min(MARGIN_MS, (endMs - this.#clock.now()) / 5);
      },
      () => this.#grants.get(id) === asked && this.#grants.delete(id),
    );
    return asked.grant;
  }

  #keep(id: string, grant: ReadGrant): void {
    this.#grants.delete(id);
    this.#grants.set(id, grant);
    if (this.#grants.size > MAX_GRANTS) this.#grants.delete(this.#grants.keys().next().value as string);
  }
}
