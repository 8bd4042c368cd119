import { toBytes, utf8 } from "../base/bytes.js";
import { OCTET_STREAM } from "../base/media-type.js";
import { bytesOf } from "../data/brands.js";
import { hasLoneSurrogate, isJson, isPlainObject } from "../data/plain.js";
import { writeTagged, type ValueNotes } from "../data/tagged.js";
import type { Bytes, Codec } from "../types.js";

/** A value as it is stored. */
export interface Encoded {
  codec: string;
  contentType: string;
  body: Bytes;
  /** Whether reading gives another value than was written, because an object was stored as the result of its `toJSON`. */
  converted?: boolean;
}

const BUILT_IN = ["json", "text", "bytes", "tagged"];

/**
 * Encodes a value as bytes, and names the codec that reads them. Asynchronous only for a `Blob`.
 *
 * @throws TypeError that names the path of what cannot be stored.
 */
export function encodeValue(value: unknown, codecs: readonly Codec[]): Encoded | Promise<Encoded> {
  for (const codec of codecs) {
    if (!codec.accepts(value)) continue;
    const body: unknown = codec.encode(value);
    if (typeof body !== "string" && (bytesOf(body) === undefined || !ArrayBuffer.isView(body))) {
      throw new TypeError(`codec ${codec.name} must encode to a string or a Uint8Array`);
    }
    return {
      codec: codec.name,
      contentType: codec.contentType,
      body: typeof body === "string" ? utf8(body) : toBytes(body as Uint8Array),
    };
  }
  if (typeof value === "string" && !hasLoneSurrogate(value)) {
    return { codec: "text", contentType: "text/plain; charset=utf-8", body: utf8(value) };
  }
  if (typeof value === "object" && value !== null) {
    const binary = isPlainObject(value) || Array.isArray(value) ? undefined : bytesOf(value);
    if (binary !== undefined) return bytes(toBytes(binary));
    const kind = Object.prototype.toString.call(value);
    if ((kind === "[object Blob]" || kind === "[object File]") && typeof (value as Blob).arrayBuffer === "function") {
      return (value as Blob).arrayBuffer().then((buffer) => bytes(new Uint8Array(buffer), (value as Blob).type));
    }
  }
  if (typeof value !== "string" && isJson(value)) return json(JSON.stringify(value));
  return encodeTagged(value);
}

/** @throws TypeError for codecs whose name is taken, or whose name or content type cannot stand in a header. */
export function checkCodecs(codecs: readonly Codec[]): void {
  const taken = new Set(BUILT_IN);
  for (const { name, contentType } of codecs) {
    // The name must be an RFC 9651 token. It is short, because metadata is bounded.
    if (typeof name !== "string" || !/^[A-Za-z*][\w!#$%&'*+.^`|~:/-]{0,63}$/.test(name)) {
      throw new TypeError(
        `codec name ${JSON.stringify(name)} must be a token of at most 64 characters, such as "msgpack"`,
      );
    }
    if (taken.has(name)) throw new TypeError(`the codec name "${name}" is taken`);
    if (typeof contentType !== "string" || !/^[!-~]+(?:[ \t]*;[ -~]*)?$/.test(contentType)) {
      throw new TypeError(`codec ${name} must have a contentType, such as "application/octet-stream"`);
    }
    taken.add(name);
  }
}

function bytes(body: Bytes, contentType = ""): Encoded {
  return { codec: "bytes", contentType: contentType === "" ? OCTET_STREAM : contentType, body };
}

function json(text: string): Encoded {
  return { codec: "json", contentType: "application/json", body: utf8(text) };
}

function encodeTagged(value: unknown): Encoded {
  const write = (notes: ValueNotes) =>
    writeTagged(value, "value", "store plain data, or give createCache a codec for it", notes);
  const notes: ValueNotes = { escape: true, tagged: false, lookalike: false, converted: false };
  const text = write(notes);
  // A string comes here only when it has a lone surrogate.
  if (notes.tagged || typeof value === "string") {
    return {
      codec: "tagged",
      contentType: "application/vnd.bucketcache+json",
      body: utf8(text),
      converted: notes.converted,
    };
  }
  // The value is plain after all: by way of toJSON, or deeper than isJson looks. Without tags nothing is escaped.
  return { ...json(notes.lookalike ? write({ ...notes, escape: false }) : text), converted: notes.converted };
}
