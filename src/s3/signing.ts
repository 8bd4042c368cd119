/** The interface between the requests of this folder and the side that signs them. */
import type { SignableRequest, SignedRequest } from "../types.js";

/** Signs requests for one bucket. */
export interface Signer {
  /** Signs a request; an empty key is the bucket. `expiresIn` in seconds; `renew` asks for fresh credentials first. */
  sign(request: SignableRequest, expiresIn: number, renew?: boolean): Promise<SignedRequest>;
  /** Whether the bucket is elsewhere than on AWS: such a store may let unsigned `x-amz-*` headers through. */
  isCustom(): boolean | Promise<boolean>;
}
