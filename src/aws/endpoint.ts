/** The address of a bucket without a client: on AWS by its region, or at an endpoint. The SDK has all other rules (client-route.ts). */
import { failure } from "../s3/failure.js";

export interface Endpoint {
  protocol: "http:" | "https:";
  /** An IPv6 address stands in brackets. */
  hostname: string;
  port: number | undefined;
  /** Path before the object key, without a slash at the end: empty, or the bucket in path style. */
  path: string;
  region: string;
  /** Whether the store is not AWS: such a store may let unsigned `x-amz-*` headers through. */
  isCustom: boolean;
}

export interface EndpointOptions {
  bucket: string;
  region: string;
  endpoint?: string | undefined;
  forcePathStyle?: boolean | undefined;
}

/** Regions outside of amazonaws.com and amazonaws.com.cn: the isolated ones, and the European sovereign cloud. */
const OTHER_DOMAINS = /^[a-z]+-iso[a-z]?-|^eusc-/;

/**
 * Checks the name of a bucket, on AWS by its rules. At an endpoint the store decides which names there are.
 * https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html
 *
 * @throws TypeError for a name that no bucket can have
 * @throws BucketCacheError `ERR_UNSUPPORTED` for a name that only a client can address
 */
export function checkBucket(bucket: string, endpoint?: string): void {
  const store = `s3:${bucket}`;
  if (typeof bucket === "string" && /^arn:|\.mrap$/.test(bucket)) {
    throw failure(
      "ERR_UNSUPPORTED",
      "ARNs and multi-region access points are resolved by the SDK: pass an S3Client as `client`",
      { store },
    );
  }
  if (typeof bucket === "string" && bucket.endsWith("--x-s3")) {
    throw failure(
      "ERR_UNSUPPORTED",
      "S3 Express signs with sessions, which the SDK knows: pass an S3Client as `client`",
      { store },
    );
  }
  if (endpoint !== undefined) {
    if (typeof bucket === "string" && /^[\w.-]{1,255}$/.test(bucket) && !/^\.+$/.test(bucket)) return;
    throw new TypeError(
      `bucket must be a name of letters, digits, dots, hyphens and underscores; got ${typeof bucket === "string" ? JSON.stringify(bucket) : String(bucket)}`,
    );
  }
  if (
    typeof bucket !== "string" ||
    !/^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/.test(bucket) ||
    bucket.includes("..") ||
    /^\d+\.\d+\.\d+\.\d+$/.test(bucket)
  ) {
    throw new TypeError(
      `bucket must be 3 to 63 lower-case letters, digits, dots and hyphens; got ${typeof bucket === "string" ? JSON.stringify(bucket) : String(bucket)}`,
    );
  }
}

/** @throws TypeError for an address that is none */
export function parseEndpoint(endpoint: string): URL {
  let url: URL | undefined;
  try {
    url = new URL(endpoint);
  } catch {
    // Refused below.
  }
  if (
    url === undefined ||
    !/^https?:$/.test(url.protocol) ||
    url.search !== "" ||
    url.hash !== "" ||
    url.username !== ""
  ) {
    throw new TypeError(
      `endpoint must be a URL such as "http://127.0.0.1:9000", without a query; got ${JSON.stringify(endpoint)}`,
    );
  }
  return url;
}

/** @throws TypeError for a region that is none */
export function checkRegion(region: string): void {
  if (!/^[a-z0-9-]{1,63}$/i.test(region))
    throw new TypeError(`region must be a name such as "eu-west-1"; got ${JSON.stringify(region)}`);
}

/**
 * @throws TypeError for a region or an endpoint that is none
 * @throws BucketCacheError `ERR_UNSUPPORTED` for a region whose addresses only the SDK knows
 */
export function resolveEndpoint(options: EndpointOptions): Endpoint {
  const { bucket, region } = options;
  checkRegion(region);
  if (options.endpoint !== undefined) {
    const url = parseEndpoint(options.endpoint);
    const numeric = /^[\d.]+$|^\[/.test(url.hostname);
    const pathStyle = (options.forcePathStyle ?? true) || numeric || /[^a-z0-9-]/.test(bucket);
    if (pathStyle && url.pathname.replace(/\/+$/, "").endsWith(`/${bucket}`)) {
      throw new TypeError(
        `endpoint must not end with the name of the bucket, which is put behind it: "${url.origin}${url.pathname}" holds "${bucket}" already`,
      );
    }
    return {
      protocol: url.protocol as Endpoint["protocol"],
      hostname: pathStyle ? url.hostname : `${bucket}.${url.hostname}`,
      port: url.port === "" ? undefined : Number(url.port),
      path: url.pathname.replace(/\/+$/, "") + (pathStyle ? `/${bucket}` : ""),
      region,
      isCustom: true,
    };
  }
  if (OTHER_DOMAINS.test(region)) {
    throw failure(
      "ERR_UNSUPPORTED",
      `${region} is a region outside of amazonaws.com and amazonaws.com.cn, whose addresses the SDK knows: pass an S3Client as \`client\``,
      { store: `s3:${bucket}` },
    );
  }
  // A certificate for *.s3 covers one label, so dots in the name need the path.
  const pathStyle = options.forcePathStyle === true || bucket.includes(".");
  const host = `s3.${region}.${region.startsWith("cn-") ? "amazonaws.com.cn" : "amazonaws.com"}`;
  return {
    protocol: "https:",
    hostname: pathStyle ? host : `${bucket}.${host}`,
    port: undefined,
    path: pathStyle ? `/${bucket}` : "",
    region,
    isCustom: false,
  };
}
