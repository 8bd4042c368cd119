import { toBase64, utf8 } from "./bytes.js";
import { nodeBuiltin } from "./runtime.js";
import type { Bytes } from "../types.js";

interface NodeHash {
  update(data: string | Uint8Array): NodeHash;
  digest(): Bytes;
  digest(encoding: "hex" | "base64"): string;
}

interface NodeCrypto {
  createHash(name: string): NodeHash;
  createHmac(name: string, key: string | Uint8Array): NodeHash;
  /** Since Node 20.12; at two thirds of the cost. */
  hash?(name: string, data: string, encoding: "hex"): string;
}

/** SHA-256 as signatures need it: at once on Node, where it costs a tenth of WebCrypto's promises. */
export interface Sha256 {
  /** In lower-case hexadecimal. */
  hash(text: string): string | Promise<string>;
  /** The HMAC, in lower-case hexadecimal. */
  hmac(key: Bytes, text: string): string | Promise<string>;
  /** HMAC after HMAC, each the key of the next. */
  derive(secret: string, parts: readonly string[]): Bytes | Promise<Bytes>;
}

export function sha256(): Sha256 {
  const node = nodeBuiltin<NodeCrypto>("node:crypto");
  return node === undefined ? WEB : nodeSha256(node);
}

function nodeSha256(node: NodeCrypto): Sha256 {
  const hmac = (key: string | Uint8Array, text: string) => node.createHmac("sha256", key).update(text);
  return {
    hash: (text) => node.hash?.("sha256", text, "hex") ?? node.createHash("sha256").update(text).digest("hex"),
    hmac: (key, text) => hmac(key, text).digest("hex"),
    derive(secret, parts) {
      let key = utf8(secret);
      for (const part of parts) key = hmac(key, part).digest();
      return key;
    },
  };
}

const WEB: Sha256 = {
  hash: async (text) => hex(await crypto.subtle.digest("SHA-256", utf8(text))),
  hmac: async (key, text) => hex(await webHmac(key, text)),
  async derive(secret, parts) {
    let key = utf8(secret);
    for (const part of parts) key = new Uint8Array(await webHmac(key, part));
    return key;
  },
};

async function webHmac(secret: Bytes, text: string): Promise<ArrayBuffer> {
  const { subtle } = globalThis.crypto;
  const key = await subtle.importKey("raw", secret, { name: "HMAC", hash: "SHA-256" }, false, ["sign"]);
  return subtle.sign("HMAC", key, utf8(text));
}

function hex(bytes: ArrayBuffer): string {
  return Array.from(new Uint8Array(bytes), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/**
 * Returns the SHA-256 of bytes, or of a text in UTF-8, in base64: as `x-amz-checksum-sha256` and the metadata of entries
 * take it. Undefined where the platform has no `crypto.subtle` (plain-http pages other than localhost).
 */
export async function sha256Base64(data: Bytes | string): Promise<string | undefined> {
  const node = nodeBuiltin<NodeCrypto>("node:crypto");
  if (node !== undefined) return node.createHash("sha256").update(data).digest("base64");
  const subtle = globalThis.crypto?.subtle as SubtleCrypto | undefined;
  const bytes = typeof data === "string" ? utf8(data) : data;
  return subtle && toBase64(new Uint8Array(await subtle.digest("SHA-256", bytes)));
}
