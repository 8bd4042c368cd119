import { revive } from "../data/revive.js";
import type { Bytes, Codec } from "../types.js";

/**
 * The value of received bytes.
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
  const own = codecs.find(({ name }) => name === codec);
  if (own === undefined) throw new Error(`the entry was written by the codec "${codec}", which is not in \`codecs\``);
  return own.decode(body);
}

/** What another program stored, by the rule of the Python seed: JSON, else text, else bytes. */
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

/** The codec of a body that others will write, of which only the type is known: as other programs would read it. */
export function codecOfType(contentType: string): string {
  if (/^application\/json\s*(?:;|$)/i.test(contentType)) return "json";
  if (/^text\/plain\s*(?:;\s*charset\s*=\s*"?utf-8"?\s*)?$/i.test(contentType)) return "text";
  return "bytes";
}
