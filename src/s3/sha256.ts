import { utf8 } from "../bytes.js";
import { nodeBuiltin } from "../runtime.js";
import type { Bytes } from "../types.js";

type Data = string | ArrayBuffer | ArrayBufferView;

interface NodeHash {
  update(data: Data): NodeHash;
  digest(): Uint8Array;
}

interface NodeCrypto {
  createHash(name: string): NodeHash;
  createHmac(name: string, key: Data): NodeHash;
}

/** SHA-256, or HMAC with a secret, in the shape that the SDK's signers take. */
export interface Sha256 {
  update(data: Data): void;
  digest(): Promise<Uint8Array>;
  reset(): void;
}

export type Sha256Constructor = new (secret?: Data) => Sha256;

/** Node's hashes cost a tenth of WebCrypto's promises. */
export function sha256Class(): Sha256Constructor {
  const node = nodeBuiltin<NodeCrypto>("node:crypto");
  return node === undefined ? WebSha256 : nodeSha256(node);
}

function nodeSha256(node: NodeCrypto): Sha256Constructor {
  return class {
    readonly #secret: Data | undefined;
    #hash: NodeHash;

    constructor(secret?: Data) {
      this.#secret = secret;
      this.#hash = this.#create();
    }

    #create(): NodeHash {
      return this.#secret === undefined ? node.createHash("sha256") : node.createHmac("sha256", this.#secret);
    }

    update(data: Data): void {
      this.#hash.update(data);
    }

    digest(): Promise<Uint8Array> {
      return Promise.resolve(this.#hash.digest());
    }

    reset(): void {
      this.#hash = this.#create();
    }
  };
}

class WebSha256 implements Sha256 {
  readonly #secret: Bytes | undefined;
  #chunks: Bytes[] = [];

  constructor(secret?: Data) {
    this.#secret = secret === undefined ? undefined : copy(secret);
  }

  update(data: Data): void {
    this.#chunks.push(copy(data));
  }

  async digest(): Promise<Uint8Array> {
    const data = await new Blob(this.#chunks).arrayBuffer();
    const { subtle } = globalThis.crypto;
    if (this.#secret === undefined) return new Uint8Array(await subtle.digest("SHA-256", data));
    const algorithm = { name: "HMAC", hash: "SHA-256" };
    const key = await subtle.importKey("raw", this.#secret, algorithm, false, ["sign"]);
    return new Uint8Array(await subtle.sign("HMAC", key, data));
  }

  reset(): void {
    this.#chunks = [];
  }
}

function copy(data: Data): Bytes {
  if (typeof data === "string") return utf8(data);
  if (data instanceof ArrayBuffer) return new Uint8Array(data.slice(0));
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength).slice() as Bytes;
}

/** Base64 SHA-256, as `x-amz-checksum-sha256` takes it. */
export async function checksum(body: Bytes): Promise<string> {
  const hash = new (sha256Class())();
  hash.update(body);
  return btoa(String.fromCharCode(...(await hash.digest())));
}
