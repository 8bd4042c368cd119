/** What a wrapped function does with its results besides computing them. */
import { BucketCacheError } from "../errors.js";
import type { Layers } from "./layers.js";
import type { Grant, PresignOptions } from "../types.js";
import { accept, find, loadBeyondMemory, type LoadRequest } from "./load.js";
import { oneGrant, requireSigner } from "./presign.js";
import { headObject, judge } from "./store/read.js";

export async function peekResult(layers: Layers, request: LoadRequest): Promise<unknown> {
  const result = await find(layers, request.key, request.call, request.revalidateAfter, (found) =>
    accept(layers, request, found),
  );
  return result && layers.handOut(result.found);
}

/** A grant to read the result, which is computed first where it is absent. */
export async function presignResult(layers: Layers, request: LoadRequest, options: PresignOptions): Promise<Grant> {
  const { key, call, identity } = request;
  call.signal?.throwIfAborted();
  requireSigner(layers.settings.store);
  // Memory is no proof: what is handed off must be in the store.
  const isStored = async (): Promise<boolean> => {
    const head = await headObject(layers, key, call.signal);
    const judged = head && judge(layers, key, head);
    const hash = judged?.kind === "live" ? judged.keyHash : undefined;
    return hash !== undefined && ((await identity?.hash()) ?? hash) === hash;
  };
  if (!(await isStored())) {
    const { etag } = await loadBeyondMemory(layers, request);
    await layers.order.settled(key, call.signal);
    // Computed, and not kept: `shouldCache` said so, or the store was passed over.
    if (etag === "" && !(await isStored())) {
      throw new BucketCacheError("ERR_UNAVAILABLE", "the result was not stored", layers.at(key));
    }
  }
  return oneGrant(layers, key, options);
}
