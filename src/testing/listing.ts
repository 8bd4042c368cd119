import { utf8 } from "../base/bytes.js";
import type { BucketSigner, ListedObject, ObjectStore } from "../types.js";
import type { Promised } from "./conformance.js";
import { check, each, equal, fail, PLAIN } from "./expect.js";

async function keysOf(store: ObjectStore, prefix: string): Promise<string[]> {
  const keys: string[] = [];
  for await (const { key } of store.list(prefix)) {
    keys.push(key);
    if (keys.length > 10_000) fail("list should end");
  }
  return keys;
}

async function keysByPage(signer: BucketSigner, prefix: string): Promise<string[]> {
  const keys: string[] = [];
  let cursor: string | undefined;
  do {
    const page = await signer.listPage(prefix, cursor);
    keys.push(...page.objects.map(({ key }) => key));
    if (keys.length > 10_000) fail("listPage should end");
    cursor = page.cursor;
  } while (cursor !== undefined);
  return keys;
}

/** Registers the promises of `list`. */
export function listing(promise: Promised): void {
  promise("lists key, size, ETag and time of each object", async (store, prefix) => {
    const { etag } = await store.put(`${prefix}object`, utf8("hello"), PLAIN);
    const objects: ListedObject[] = [];
    for await (const object of store.list(prefix)) objects.push(object);
    equal(objects.length, 1, "the number of objects listed");
    const [object] = objects;
    equal(object?.key, `${prefix}object`, "the key listed");
    equal(object?.size, 5, "the size listed");
    equal(object?.etag, etag, "the ETag listed");
    check(object?.lastModified instanceof Date && object.lastModified.getTime() > 0, "lastModified should be a Date");
  });

  promise("lists what begins with the prefix, byte for byte, and nothing else", async (store, prefix) => {
    // No object has another below it here: such a pair can be read everywhere, but MinIO lists only the upper one.
    const keys = ["a/b", "a/c", "ab", "a b", "A", "b", "ä", "a%2Fb", "a+b", "<&>\"'"];
    for (const key of keys) await store.put(prefix + key, utf8(key), PLAIN);
    for (const part of ["", "a", "a/", "ab", "a%", "a+", "a ", "A", "<&", "ä", "zz"]) {
      const expected = keys.filter((key) => key.startsWith(part)).sort();
      const listed = (await keysOf(store, prefix + part)).map((key) => key.slice(prefix.length)).sort();
      equal(listed, expected, `the keys listed under ${JSON.stringify(part)}`);
    }
  });

  promise("lists in the order of the keys' UTF-8 bytes", async (store, prefix) => {
    // UTF-16 order puts the emoji before U+FF5E; directories and files mixed up put "a-" behind "a/b".
    const ordered = ["A", "B", "a b", "a-", "a/b", "a0", "aa", "b", "é", "\uff5e", "😀"];
    for (const key of [...ordered].reverse()) await store.put(prefix + key, utf8(key), PLAIN);
    equal(
      (await keysOf(store, prefix)).map((key) => key.slice(prefix.length)),
      ordered,
      "the order of keys",
    );
  });

  promise("lists more than a thousand objects, each once, and deletes them all", async (store, prefix) => {
    const keys = Array.from({ length: 1_003 }, (_, i) => `${prefix}with space ${String(i).padStart(4, "0")}`);
    await each(keys, (key) => store.put(key, utf8("x"), PLAIN));
    equal((await keysOf(store, prefix)).join(), keys.join(), "the keys of 1,003 objects");
    if (store.signer !== undefined) {
      equal((await keysByPage(store.signer, prefix)).join(), keys.join(), "the keys of 1,003 objects, page by page");
    }
    if (store.deleteMany !== undefined) await store.deleteMany(keys);
    else await each(keys, (key) => store.delete(key));
    equal(await keysOf(store, prefix), [], "the keys after all were deleted");
  });

  promise("does not list what was deleted, and lets its reader stop early", async (store, prefix) => {
    for (const key of ["a", "b", "c"]) await store.put(prefix + key, utf8(key), PLAIN);
    for await (const { key } of store.list(prefix)) {
      equal(key, `${prefix}a`, "the first key");
      break;
    }
    await store.delete(`${prefix}b`);
    equal(await keysOf(store, prefix), [`${prefix}a`, `${prefix}c`], "the keys after one was deleted");
  });
}
