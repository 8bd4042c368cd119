import { receiveSmallBody } from "./body.js";
import { S3Error } from "./errors.js";
import { OWNER } from "./listing.js";
import { emptyReply, xmlReply, type Context, type Reply } from "./reply.js";
import { isBucketName } from "./storage.js";
import { parseXml, tag, textOf } from "./xml.js";

const MAX_CONFIGURATION = 64 * 1024;

export function listBuckets({ storage }: Context): Reply {
  const buckets = [...storage.buckets.values()]
    .sort((a, b) => (a.name < b.name ? -1 : 1))
    .map(
      ({ name, created }) =>
        `<Bucket>${tag("Name", name) + tag("CreationDate", new Date(created).toISOString())}</Bucket>`,
    );
  return xmlReply("ListAllMyBucketsResult", `${OWNER}<Buckets>${buckets.join("")}</Buckets>`);
}

export async function createBucket({ request, storage, region, now }: Context): Promise<Reply> {
  const name = request.bucket ?? "";
  if (!isBucketName(name)) throw new S3Error("InvalidBucketName", undefined, { BucketName: name });
  if (Number(request.header("content-length") ?? 0) > 0 || request.payload.kind === "chunked") {
    const root = parseXml(await receiveSmallBody(request, { maxBytes: MAX_CONFIGURATION }));
    if (root.name !== "CreateBucketConfiguration") throw new S3Error("MalformedXML");
    const location = textOf(root, "LocationConstraint")?.trim() || region;
    if (location !== region) {
      throw new S3Error(
        "IllegalLocationConstraintException",
        `The ${location} location constraint is incompatible for the region specific endpoint this request was sent to.`,
      );
    }
  }
  // To create a bucket again is no error in us-east-1, and only there.
  storage.createBucket(name, now);
  return emptyReply(200, { location: `/${name}` });
}

export function headBucket({ request, storage, region }: Context): Reply {
  storage.bucket(request.bucket ?? "");
  return emptyReply(200, { "x-amz-bucket-region": region });
}

export function deleteBucket({ request, storage }: Context): Reply {
  storage.deleteBucket(storage.bucket(request.bucket ?? ""));
  return emptyReply(204);
}

export function getLocation({ request, storage }: Context): Reply {
  storage.bucket(request.bucket ?? "");
  // An empty location means us-east-1, for reasons of history.
  return xmlReply("LocationConstraint", "");
}

export function getVersioning({ request, storage }: Context): Reply {
  storage.bucket(request.bucket ?? "");
  return xmlReply("VersioningConfiguration", "");
}
