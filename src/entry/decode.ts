import { revive } from "../data/revive.js";
import type { Bytes, Codec } from "../types.js";

/**
 * Returns the value of received bytes.
 *
 * @throws Error when they are not what the codec writes, and for a codec that is not known.
 */
export function decodeValue(codec: string, body: Bytes, codecs: readonly Codec[]): unknown {
  switch (codec) {
    case "json":
      return JSON.parse(decodeText(body));
    case "text":
      return decodeText(body);
    case "bytes":
      return body;
    case "tagged":
      return revive(JSON.parse(decodeText(body)));
  }
  const custom = codecs.find(({ name }) => name === codec);
  if (custom === undefined)
    throw new Error(`the entry was written by the codec "${codec}", which is not in \`codecs\``);
  return custom.decode(body);
}

/** Returns the value of bytes that another program stored: JSON, else text, else bytes, as the Python caches read them. */
export function decodeForeign(body: Bytes): unknown {
  let text: string;
  try {
    text = decodeText(body);
  } catch {
    return body;
  }
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

let decoder: TextDecoder | undefined;

function decodeText(body: Bytes): string {
  return (decoder ??= new TextDecoder("utf-8", { ignoreBOM: true, fatal: true })).decode(body);
}

/** Returns the codec of a body of which only the media type is known, because another client will write it. */
export function codecOfType(contentType: string): string {
  if (/^application\/json\s*(?:;|$)/i.test(contentType)) return "json";
  if (/^text\/plain\s*(?:;\s*charset\s*=\s*"?utf-8"?\s*)?$/i.test(contentType)) return "text";
  return "bytes";
}
