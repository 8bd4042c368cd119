/** Names of the headers that carry an entry's metadata, and the CORS rule that lets pages read them. */
import { METADATA_NAMES } from "../entry/entry.js";

/** Headers of user metadata begin with this. */
const METADATA_PREFIX = "x-amz-meta-";

/** Returns the header that carries this user metadata. */
export function metadataHeader(name: string): string {
  return METADATA_PREFIX + name;
}

/** Returns the name of the user metadata that a header carries; undefined for any other header. */
export function metadataName(header: string): string | undefined {
  return header.startsWith(METADATA_PREFIX) ? header.slice(METADATA_PREFIX.length) : undefined;
}

/** Returns the user metadata among these headers, whose names are in lower case. */
export function metadataOf(headers: Readonly<Record<string, string>>): Record<string, string> {
  const metadata: Record<string, string> = {};
  for (const [header, value] of Object.entries(headers)) {
    const name = metadataName(header);
    if (name !== undefined) metadata[name] = value;
  }
  return metadata;
}

/** Returns the rule that a bucket needs for this page, as `PutBucketCors` takes it. */
export function corsRule(): string {
  // A page must be able to read the metadata of an entry, and the ETag.
  const exposed = [...METADATA_NAMES.map(metadataHeader), "etag"];
  const origin = (globalThis as { location?: { origin?: string } }).location?.origin ?? "https://your.page";
  return (
    `The bucket's CORS rule must be: {"AllowedOrigins": [${JSON.stringify(origin)}], ` +
    `"AllowedMethods": ["GET", "HEAD", "PUT", "DELETE"], "AllowedHeaders": ["*"], ` +
    `"ExposeHeaders": [${exposed.map((name) => JSON.stringify(name)).join(", ")}]}`
  );
}
