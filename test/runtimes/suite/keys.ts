// Keys are the same everywhere: the published vectors.
import { cacheKey, createCache } from "bucketcache";
import { memoryStore } from "bucketcache/memory";
import { check, equal } from "./expect.js";
import type { Runner } from "./harness.js";

interface Vectors {
  vectors: { title: string; name: string; args: unknown; key: string; keyHash: string }[];
  numbers: { ieee754: string; text: string }[];
  refused: { title: string; args: unknown[]; path: string }[];
}

export function keys({ describe, test }: Runner, text: string): void {
  const { vectors, numbers, refused } = JSON.parse(text) as Vectors;

  describe("keys", () => {
    test("are those of the published vectors, and so are the hashes beside them", async () => {
      check(vectors.length > 30, "too few vectors");
      const store = memoryStore();
      const cache = createCache({ store, prefix: "" });
      for (const { title, name, args, key, keyHash } of vectors) {
        // The vectors hold their arguments in tagged JSON, which is how an entry holds them.
        const metadata = { entry: `v=1, created=1, codec=tagged, nonce=:${btoa("0123456789abcdef")}:` };
        const options = { contentType: "application/vnd.bucketcache+json", metadata };
        await store.put("arguments", new TextEncoder().encode(JSON.stringify(args)), options);
        const revived = (await createCache({ store, prefix: "" }).get("arguments")) as unknown[];
        equal(cacheKey(name, revived), key, title);
        await cache.wrap((..._: unknown[]) => 1, { name, replace: true })(...revived);
        const entry = (await store.head(key))?.metadata["entry"] ?? "";
        check(entry.includes(`key=:${keyHash}:`), `${title}: the hash should be ${keyHash} in ${entry}`);
      }
    });

    test("write numbers as RFC 8785 does", async () => {
      for (const { ieee754, text } of numbers) {
        const view = new DataView(new ArrayBuffer(8));
        view.setBigUint64(0, BigInt(`0x${ieee754}`));
        equal(cacheKey("f", [view.getFloat64(0)]), cacheKey("f", [JSON.parse(text)]), text);
        equal(JSON.stringify(view.getFloat64(0)), text, ieee754);
      }
    });

    test("refuse what has none, and say where it is", () => {
      for (const { title, args, path } of refused) {
        let message = "";
        try {
          cacheKey("f", args);
        } catch (error) {
          message = (error as Error).message;
        }
        check(message.includes(path), `${title}: ${path} should be named in ${message}`);
      }
    });
  });
}
