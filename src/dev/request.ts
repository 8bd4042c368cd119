import type { IncomingMessage } from "node:http";
import { isChecksumAlgorithm } from "./checksums.js";
import { S3Error } from "./errors.js";

const MAX_KEY_BYTES = 1024;

/** Form in which the bytes of the body come over the wire, as the verified signature says. */
export type PayloadMode =
  | { kind: "plain"; sha256: string | undefined }
  | { kind: "chunked"; trailer: boolean; signer: ChunkSigner | undefined };

/** Goes along the chain of chunk signatures. */
export interface ChunkSigner {
  /** Tells whether the signature belongs to a chunk with this SHA-256 at this place of the chain. */
  verifyChunk(signature: string, sha256: string): boolean;
  verifyTrailer(signature: string, sha256: string): boolean;
}

/** A parameter of the query, decoded; `encoded` is its canonical form. */
interface Parameter {
  name: string;
  value: string;
  encoded: string;
}

/** A request in the terms of S3. */
export class S3Request {
  readonly raw: IncomingMessage;
  readonly method: string;
  readonly host: string;
  /** The path as SigV4 wants it: each byte either unreserved, `/`, or percent-encoded. */
  readonly canonicalPath: string;
  readonly parameters: readonly Parameter[];
  readonly bucket: string | undefined;
  /** Undefined for operations on a bucket. */
  readonly key: string | undefined;
  /** Set by authentication. */
  payload: PayloadMode = { kind: "plain", sha256: undefined };
  readonly #query = new Map<string, string>();
  readonly #hoisted = new Map<string, string>();

  constructor(raw: IncomingMessage) {
    this.raw = raw;
    this.method = raw.method ?? "GET";
    this.host = raw.headers.host ?? "";
    const target = raw.url ?? "/";
    const mark = target.indexOf("?");
    const path = mark < 0 ? target : target.slice(0, mark);
    if (!path.startsWith("/")) throw new S3Error("InvalidURI");
    const decodedPath = decode(path);
    this.canonicalPath = encodeRfc3986(decodedPath, true);
    this.parameters = mark < 0 ? [] : parseQuery(target.slice(mark + 1));
    for (const { name, value } of this.parameters) {
      if (!this.#query.has(name)) this.#query.set(name, value);
    }

    const virtual = /^(.+)\.localhost(?::\d+)?$/i.exec(this.host)?.[1];
    if (virtual !== undefined) {
      this.bucket = virtual;
      this.key = decodedPath.slice(1) || undefined;
    } else {
      const slash = decodedPath.indexOf("/", 1);
      this.bucket = decodedPath.slice(1, slash < 0 ? undefined : slash) || undefined;
      this.key = slash < 0 ? undefined : decodedPath.slice(slash + 1) || undefined;
      if (this.bucket === undefined && this.key !== undefined) throw new S3Error("InvalidBucketName");
    }
  }

  /** Checks the length of the key; after the constructor, so that only authenticated clients learn the result. */
  checkKey(): void {
    const size = this.key === undefined ? 0 : Buffer.byteLength(this.key);
    if (size > MAX_KEY_BYTES) {
      throw new S3Error("KeyTooLongError", undefined, { Size: size, MaxSizeAllowed: MAX_KEY_BYTES });
    }
  }

  /** Returns a header, or the signed query parameter that stands for it in a presigned request. */
  header(name: string): string | undefined {
    const value = this.raw.headers[name] ?? this.#hoisted.get(name);
    return typeof value === "string" ? value : value?.join(", ");
  }

  /** Returns all headers whose name begins with `prefix`, without it. */
  headersWith(prefix: string): Record<string, string> {
    const found: Record<string, string> = {};
    const add = (name: string, value: string | undefined): void => {
      if (name.startsWith(prefix) && name.length > prefix.length && value !== undefined) {
        Object.defineProperty(found, name.slice(prefix.length), { value, enumerable: true });
      }
    };
    for (const [name, value] of this.#hoisted) add(name, value);
    for (const name of Object.keys(this.raw.headers)) add(name, this.header(name));
    return found;
  }

  query(name: string): string | undefined {
    return this.#query.get(name);
  }

  /** Returns an integer from the query, or the default when it is absent. */
  integer(name: string, fallback: number, maximum: number): number {
    const text = this.query(name);
    if (text === undefined || text === "") return fallback;
    if (!/^\d{1,10}$/.test(text) || Number(text) > 2_147_483_647) {
      throw new S3Error("InvalidArgument", `Provided ${name} not an integer or within integer range`, {
        ArgumentName: name,
        ArgumentValue: text,
      });
    }
    return Math.min(Number(text), maximum);
  }

  /**
   * Makes the `x-amz-*` parameters of a presigned request count as headers: SDKs put them into the query. S3 makes one
   * exception, the values of checksums: SDKs compute those of a body that they have not seen.
   */
  hoistQuery(): void {
    for (const { name, value } of this.parameters) {
      const lower = name.toLowerCase();
      if (!lower.startsWith("x-amz-") || this.#hoisted.has(lower)) continue;
      if (!isChecksumAlgorithm(lower.replace("x-amz-checksum-", ""))) this.#hoisted.set(lower, value);
    }
  }
}

function parseQuery(query: string): Parameter[] {
  const parameters: Parameter[] = [];
  for (const pair of query.split("&")) {
    if (pair === "") continue;
    const equals = pair.indexOf("=");
    const name = decode((equals < 0 ? pair : pair.slice(0, equals)).replaceAll("+", " "));
    const value = equals < 0 ? "" : decode(pair.slice(equals + 1).replaceAll("+", " "));
    parameters.push({ name, value, encoded: `${encodeRfc3986(name)}=${encodeRfc3986(value)}` });
  }
  return parameters;
}

/** Undoes percent-encoding, and refuses bytes that are not UTF-8. The request line reaches us as Latin-1. */
function decode(text: string): string {
  if (!/[%\u0080-\uffff]/.test(text)) return text;
  try {
    return decodeURIComponent(text.replace(/[\u0080-\u00ff]/g, (char) => `%${char.charCodeAt(0).toString(16)}`));
  } catch {
    throw new S3Error("InvalidURI");
  }
}

/** Percent-encodes all but the unreserved characters of RFC 3986, and `/` where it is told to keep it. */
export function encodeRfc3986(text: string, keepSlash = false): string {
  if ((keepSlash ? /^[\w.~/-]*$/ : /^[\w.~-]*$/).test(text)) return text;
  const encoded = encodeURIComponent(text).replace(
    /[!'()*]/g,
    (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`,
  );
  return keepSlash ? encoded.replaceAll("%2F", "/") : encoded;
}
