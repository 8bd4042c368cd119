/** The interface between the requests of this folder and the side that signs them. */
import type { SignableRequest, SignedRequest } from "../types.js";

/** Life of the signature of a request that is sent at once: long enough for a clock that is 20 minutes slow. */
export const REQUEST_LIFE_SECONDS = 3_600;

/** Signs requests for one bucket. */
export interface Signer {
  /**
   * Signs a request; an empty key is the bucket itself. `renew` asks for fresh credentials first.
   *
   * @param expiresIn Seconds.
   */
  sign(request: SignableRequest, expiresIn: number, renew?: boolean): Promise<SignedRequest>;
  /** Whether the bucket is elsewhere than on AWS: such a store may let unsigned `x-amz-*` headers through. */
  isCustom(): boolean | Promise<boolean>;
}
