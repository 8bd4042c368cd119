import { CHECKSUM_SIZES, isChecksumAlgorithm, isCrc } from "./checksums.js";
import { S3Error } from "./errors.js";
import type { S3Request } from "./request.js";
import type { Description, StoredObject, Upload } from "./storage.js";

const MAX_METADATA = 2048;
const KEPT = ["cache-control", "content-disposition", "content-encoding", "content-language", "expires"] as const;
/** Headers that would change the stored object, or its place. To ignore them would be a lie. */
const REFUSED = [
  "x-amz-object-lock-",
  "x-amz-server-side-encryption-customer-",
  "x-amz-tagging",
  "x-amz-website-redirect-location",
  "x-amz-write-offset-bytes",
] as const;

/** Reads the description of the object to be from a PUT, or from the start of an upload. */
export function readDescription(request: S3Request): Description {
  const headers: Record<string, string> = {
    "content-type": request.header("content-type") || "binary/octet-stream",
  };
  for (const name of KEPT) {
    const value = name === "content-encoding" ? contentEncoding(request) : request.header(name);
    if (value !== undefined) headers[name] = value;
  }
  const metadata = request.headersWith("x-amz-meta-");
  let size = 0;
  for (const [name, value] of Object.entries(metadata)) size += name.length + Buffer.byteLength(value, "latin1");
  if (size > MAX_METADATA) {
    throw new S3Error("MetadataTooLarge", undefined, { Size: size, MaxSizeAllowed: MAX_METADATA });
  }
  return { headers, metadata };
}

/** Returns the encoding of the object. `aws-chunked` is the encoding of the request only. */
function contentEncoding(request: S3Request): string | undefined {
  const codings = request
    .header("content-encoding")
    ?.split(",")
    .map((coding) => coding.trim());
  return codings?.filter((coding) => coding.toLowerCase() !== "aws-chunked").join(",") || undefined;
}

export function refuseUnsupported(request: S3Request): void {
  const header = Object.keys(request.headersWith("x-amz-")).find((name) =>
    REFUSED.some((refused) => `x-amz-${name}`.startsWith(refused)),
  );
  if (header !== undefined) throw new S3Error("NotImplemented", undefined, { Header: `x-amz-${header}` });
}

/** Reads from the first request of an upload the checksum that the object will have. */
export function uploadChecksum(request: S3Request): Upload["checksum"] {
  const algorithm = request.header("x-amz-checksum-algorithm")?.toLowerCase();
  const type = request.header("x-amz-checksum-type")?.toUpperCase();
  if (algorithm === undefined) return undefined;
  if (!isChecksumAlgorithm(algorithm)) {
    const names = Object.keys(CHECKSUM_SIZES).join(", ").toUpperCase();
    throw new S3Error(
      "InvalidRequest",
      `Checksum algorithm provided is unsupported. Please try again with any of the valid types: [${names}]`,
    );
  }
  const usual = algorithm === "crc64nvme" ? "FULL_OBJECT" : "COMPOSITE";
  if (type !== undefined && type !== "FULL_OBJECT" && type !== "COMPOSITE") {
    throw new S3Error("InvalidRequest", "Value for x-amz-checksum-type header is invalid.");
  }
  if ((type === "FULL_OBJECT" && !isCrc(algorithm)) || (type === "COMPOSITE" && algorithm === "crc64nvme")) {
    throw new S3Error(
      "InvalidRequest",
      `The ${type} checksum type cannot be used with the ${algorithm} checksum algorithm.`,
    );
  }
  return { algorithm, type: type ?? usual };
}

export function checksumHeaders(checksum: StoredObject["checksum"]): Record<string, string> {
  if (checksum === undefined) return {};
  return { [`x-amz-checksum-${checksum.algorithm}`]: checksum.value, "x-amz-checksum-type": checksum.type };
}

/** Headers that `response-*` of the query replaces. S3 allows it in signed requests, and there are no others here. */
const OVERRIDES = [
  "cache-control",
  "content-disposition",
  "content-encoding",
  "content-language",
  "content-type",
  "expires",
] as const;

/** Returns the headers that describe an object to its readers. */
export function objectHeaders(request: S3Request, object: StoredObject): Record<string, string> {
  const headers: Record<string, string> = {
    "accept-ranges": "bytes",
    etag: `"${object.etag}"`,
    "last-modified": new Date(object.modified).toUTCString(),
    ...object.headers,
  };
  for (const name of OVERRIDES) {
    const value = request.query(`response-${name}`);
    if (value === undefined) continue;
    if (!/^[\t\u0020-\u007e\u0080-\u00ff]*$/.test(value)) {
      throw new S3Error("InvalidArgument", "Header value cannot be represented using ISO-8859-1.", {
        ArgumentName: `response-${name}`,
        ArgumentValue: value,
      });
    }
    headers[name] = value;
  }
  for (const [name, value] of Object.entries(object.metadata)) headers[`x-amz-meta-${name}`] = value;
  return headers;
}
