/** Requests about a bucket rather than the bytes of one object, and the signatures that it gives to others. */
import type { BucketSigner, ObjectStore } from "../types.js";
import { deleteMany, type DeleteOne } from "./batch-delete.js";
import { listObjects, listPage } from "./listing.js";
import { MultipartControl } from "./multipart-control.js";
import type { MultipartUpload, PutOperation } from "./operations.js";
import type { Signer } from "./signing.js";
import type { BucketConnection } from "./xml-request.js";

export interface BucketControl extends Required<Pick<ObjectStore, "list" | "deleteMany">> {
  signer: BucketSigner;
  /** Prepares an upload in parts. Nothing is sent before its `create`. */
  upload(operation: PutOperation): MultipartUpload;
}

/** @param deleteOne Deletes an object where no batch can. */
export function bucketControl(bucket: BucketConnection, deleteOne: DeleteOne): BucketControl {
  const uploads = new MultipartControl(bucket);
  return {
    upload: (operation) => uploads.uploadOf(operation),
    list: (prefix, options) => listObjects(bucket, prefix, options),
    deleteMany: (keys, options) => deleteMany(bucket, deleteOne, keys, options),
    signer: {
      sign: (request, expiresIn) => signForOthers(bucket.signer, request, expiresIn),
      createUpload: (key, headers, options) => uploads.create(key, headers, options),
      completeUpload: (key, uploadId, parts, condition, options) =>
        uploads.complete(key, uploadId, parts, condition, options),
      abortUpload: (key, uploadId, options) => uploads.abort(key, uploadId, options),
      listParts: (key, uploadId, options) => uploads.listParts(key, uploadId, options),
      listPage: (prefix, cursor, options) => listPage(bucket, prefix, cursor, options),
    },
  };
}

/** MinIO obeys an unsigned copy source, which would turn a write into a read of any object. AWS refuses unsigned x-amz headers. */
const COPY_GUARD = { "x-amz-copy-source-if-match": "none" };

async function signForOthers(signer: Signer, ...[request, expiresIn]: Parameters<BucketSigner["sign"]>) {
  const isGuarded = request.method === "PUT" && (await signer.isCustom());
  const guarded = isGuarded ? { ...request, headers: { ...request.headers, ...COPY_GUARD } } : request;
  return signer.sign(guarded, expiresIn);
}
