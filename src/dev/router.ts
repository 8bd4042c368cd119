import { createBucket, deleteBucket, getLocation, getVersioning, headBucket, listBuckets } from "./buckets.js";
import { deleteCors, getCors, putCors } from "./cors.js";
import { S3Error } from "./errors.js";
import { listObjects, listObjectsV2 } from "./listing.js";
import {
  abortUpload,
  completeUpload,
  createUpload,
  listParts,
  listUploads,
  uploadPart,
  uploadPartCopy,
} from "./multipart.js";
import { copyObject, deleteObject, deleteObjects, putObject, readObject } from "./objects.js";
import type { Context, Reply } from "./reply.js";
import type { S3Request } from "./request.js";

type Operation = (context: Context) => Reply | Promise<Reply>;

/** Every operation there is, by method, level and subresource. */
const OPERATIONS: Readonly<Record<string, Operation>> = {
  "GET service": listBuckets,

  "PUT bucket": createBucket,
  "HEAD bucket": headBucket,
  "DELETE bucket": deleteBucket,
  "GET bucket": (context) => (context.request.query("list-type") === "2" ? listObjectsV2 : listObjects)(context),
  "GET bucket location": getLocation,
  "GET bucket versioning": getVersioning,
  "GET bucket cors": getCors,
  "PUT bucket cors": putCors,
  "DELETE bucket cors": deleteCors,
  "GET bucket uploads": listUploads,
  "POST bucket delete": deleteObjects,

  "GET object": readObject,
  "HEAD object": readObject,
  "PUT object": (context) => (isCopy(context) ? copyObject : putObject)(context),
  "DELETE object": deleteObject,
  "POST object uploads": createUpload,
  "PUT object uploadId": (context) => (isCopy(context) ? uploadPartCopy : uploadPart)(context),
  "GET object uploadId": listParts,
  "POST object uploadId": completeUpload,
  "DELETE object uploadId": abortUpload,
};

function isCopy({ request }: Context): boolean {
  return request.header("x-amz-copy-source") !== undefined;
}

/** Parameters that make a request another operation. Those that no operation above has are not served. */
const SUBRESOURCES = new Set(
  (
    "accelerate acl analytics attributes cors delete encryption intelligent-tiering inventory legal-hold lifecycle " +
    "location logging metrics notification object-lock ownershipControls policy policyStatus publicAccessBlock " +
    "renameObject replication requestPayment restore retention select session tagging torrent uploadId uploads " +
    "versioning versions website"
  ).split(" "),
);

/** Finds the operation that a request is for. */
export function findOperation(request: S3Request): Operation {
  const level = request.bucket === undefined ? "service" : request.key === undefined ? "bucket" : "object";
  const subresource = request.parameters.find(({ name }) => SUBRESOURCES.has(name))?.name;
  const operation = OPERATIONS[`${request.method} ${level}${subresource === undefined ? "" : ` ${subresource}`}`];
  if (operation !== undefined) {
    const version = request.query("versionId");
    if (version === undefined || version === "null") return operation;
    throw new S3Error("InvalidArgument", "Invalid version id specified", { ArgumentName: "versionId" });
  }
  if (subresource !== undefined || request.method === "POST") {
    throw new S3Error("NotImplemented", "This server for development does not have this operation.");
  }
  throw new S3Error("MethodNotAllowed", undefined, { Method: request.method });
}
