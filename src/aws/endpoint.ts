/** Where a bucket is: host and path of its requests, as the SDK would resolve them. */
import { failure } from "../s3/refusal.js";

export interface Endpoint {
  protocol: "http:" | "https:";
  /** IPv6 in brackets. */
  hostname: string;
  port: number | undefined;
  /** Before the object key, without a slash at the end: empty, or the bucket in path style. */
  path: string;
  region: string;
  /** Not AWS: such a store may let unsigned `x-amz-*` headers through. */
  custom: boolean;
}

export interface EndpointOptions {
  bucket: string;
  region: string;
  endpoint?: string | undefined;
  forcePathStyle?: boolean | undefined;
  accelerate?: boolean | undefined;
  dualstack?: boolean | undefined;
  fips?: boolean | undefined;
}

/** Suffixes of AWS's partitions by the beginning of their regions; everything else is the public one. */
const PARTITIONS: readonly [prefix: string, suffix: string][] = [
  ["cn-", "amazonaws.com.cn"],
  ["us-iso-", "c2s.ic.gov"],
  ["us-isob-", "sc2s.sgov.gov"],
  ["us-isof-", "csp.hci.ic.gov"],
  ["eu-isoe-", "cloud.adc-e.uk"],
  ["eusc-", "amazonaws.eu"],
];

/**
 * @throws TypeError for a name that no bucket can have; BucketCacheError `ERR_UNSUPPORTED` for what needs another way
 * of signing
 */
export function checkBucket(bucket: string): void {
  const store = `s3:${bucket}`;
  if (typeof bucket === "string" && /^arn:|\.mrap$/.test(bucket)) {
    throw failure(
      "ERR_UNSUPPORTED",
      "ARNs and multi-region access points cannot be presigned plainly: pass the name of a bucket, or the alias of an access point",
      { store },
    );
  }
  if (typeof bucket === "string" && bucket.endsWith("--x-s3")) {
    throw failure(
      "ERR_UNSUPPORTED",
      "S3 Express signs with sessions, which is not supported: use a general purpose bucket",
      { store },
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

/** @throws TypeError for an address that is not one. */
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

export function resolveEndpoint(options: EndpointOptions): Endpoint {
  const { bucket, region } = options;
  if (!/^[a-z0-9-]{1,63}$/i.test(region))
    throw new TypeError(`region must be a name such as "eu-west-1"; got ${JSON.stringify(region)}`);
  if (options.endpoint !== undefined) {
    const url = parseEndpoint(options.endpoint);
    const numeric = /^[\d.]+$|^\[/.test(url.hostname);
    const pathStyle = (options.forcePathStyle ?? true) || numeric || bucket.includes(".");
    return {
      protocol: url.protocol as Endpoint["protocol"],
      hostname: pathStyle ? url.hostname : `${bucket}.${url.hostname}`,
      port: url.port === "" ? undefined : Number(url.port),
      path: url.pathname.replace(/\/+$/, "") + (pathStyle ? `/${bucket}` : ""),
      region,
      custom: true,
    };
  }
  const suffix = PARTITIONS.find(([prefix]) => region.startsWith(prefix))?.[1] ?? "amazonaws.com";
  // A certificate for *.s3 covers one label, so dots in the name need the path.
  const pathStyle = options.forcePathStyle === true || bucket.includes(".");
  const dualstack = options.dualstack === true ? ".dualstack" : "";
  let host = `s3${options.fips === true ? "-fips" : ""}${dualstack}.${region}.${suffix}`;
  if (options.accelerate === true) {
    if (pathStyle || options.fips === true) {
      throw failure("ERR_UNSUPPORTED", "transfer acceleration knows neither path style, dotted buckets nor FIPS", {
        store: `s3:${bucket}`,
      });
    }
    host = `s3-accelerate${dualstack}.${suffix}`;
  }
  return {
    protocol: "https:",
    hostname: pathStyle ? host : `${bucket}.${host}`,
    port: undefined,
    path: pathStyle ? `/${bucket}` : "",
    region,
    custom: false,
  };
}
