// Errors by code, misuse as TypeError, trouble that is handled.
import { BucketCacheError, createCache, isBucketCacheError } from "bucketcache";
import { presignedStore } from "bucketcache/presigned";
import { textOf, type Bench } from "./bench.js";
import { check, equal, rejectsAsMisuse, rejectsWith } from "./expect.js";

const ENTRY = "v=1, created=1795310019, codec=json, nonce=:AAAAAAAAAAAAAAAAAAAAAA==:";

export function errors({ runner: { describe, test }, cache, config, kind, open, prefix }: Bench): void {
  const { s3 } = config;

  describe("errors", () => {
    test("a damaged entry is a miss with an event, and is written anew", async () => {
      await open().put(`${prefix}damaged/key`, new TextEncoder().encode('{"half":'), {
        contentType: "application/json",
        metadata: { entry: ENTRY },
      });
      const one = cache("damaged");
      const codes: string[] = [];
      one.on("error", ({ error }) => codes.push(error.code));
      equal(await one.get("key"), undefined, "the damaged entry");
      equal(await one.getOrSet("key", () => "whole"), "whole", "computed");
      check(codes.length > 0 && codes.every((code) => code === "ERR_DAMAGED"), `events: ${codes.join()}`);
      equal(await cache("damaged").get("key"), "whole", "written anew");
    });

    test("gzip that is damaged fails a stream on the way", async () => {
      await open().put(`${prefix}damaged/gzip`, new Uint8Array([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 99, 99, 99]), {
        contentType: "text/plain",
        metadata: { entry: ENTRY.replace("json", "bytes"), compressed: "true" },
      });
      await rejectsWith("ERR_DAMAGED", cache("damaged").getStream("gzip").then(textOf), "the stream");
    });

    test("a value beyond maxValueBytes is refused, also when gzip hides its size", async () => {
      await cache("large").set("zipped", "x".repeat(2_000_000), { compress: true });
      await rejectsWith("ERR_TOO_LARGE", cache("large", { maxValueBytes: 1_000_000 }).get("zipped"), "the value");
    });

    test("a condition that fails is a conflict", async () => {
      const store = open();
      const [key, put] = [`${prefix}conflict`, { contentType: "text/plain", metadata: { entry: ENTRY } }];
      await store.put(key, new Uint8Array(3), put);
      await rejectsWith("ERR_CONFLICT", store.put(key, new Uint8Array(4), { ...put, ifNoneMatch: "*" }), "a second");
    });

    test("a store that is down is bypassed by functions, with an event; get and set say so", async () => {
      const one = cache("down", { open: { nowhere: true } });
      const codes: string[] = [];
      one.on("error", ({ error }) => codes.push(error.code));
      equal(await one.wrap((n: number) => n + 1, { name: "next" })(1), 2, "the function");
      check(codes.includes("ERR_UNAVAILABLE"), `events: ${codes.join()}`);
      await rejectsWith("ERR_UNAVAILABLE", one.get("key"), "get");
      const strict = cache("down", { open: { nowhere: true }, whenUnavailable: "throw" });
      await rejectsWith("ERR_UNAVAILABLE", strict.getOrSet("key", () => 1), "getOrSet, when told to throw"); // prettier-ignore
    });

    test("an abort rejects with the signal's own reason", async () => {
      const reason = new Error("enough");
      const one = cache("abort");
      const calls = [
        one.get("key", { signal: AbortSignal.abort(reason) }),
        one.set("key", 1, { signal: AbortSignal.abort(reason) }),
      ];
      for (const { status, ...rest } of await Promise.allSettled(calls)) {
        check(status === "rejected" && (rest as { reason: unknown }).reason === reason, "should be the reason");
      }
    });

    test("misuse is a TypeError that says what was wrong", async () => {
      const one = cache("misuse");
      await rejectsAsMisuse(one.set("/a", 1), /key/, "a key with a leading slash");
      await rejectsAsMisuse(one.set("a/../b", 1), /\.\./, "a key that leads elsewhere");
      await rejectsAsMisuse(one.set("a", { b: [() => 1] }), /b\[0\]/, "a function as a value");
      await rejectsAsMisuse(one.set("a", 1, { ttl: "soon" }), /ttl/, "a length of time");
      await rejectsAsMisuse((async () => one.wrap(() => 1, {} as never))(), /name/, "a function without a name");
      const cycle: unknown[] = [];
      cycle.push(cycle);
      await rejectsAsMisuse(one.set("a", cycle), /cycle|itself/, "a cycle");
    });

    test("errors are told by their brand, and name key and store", async () => {
      const error = await rejectsWith("ERR_TOO_LARGE", failing(), "the value");
      check(error instanceof BucketCacheError && isBucketCacheError(error), "should be a BucketCacheError");
      check(error.key?.endsWith("brand/key") === true && error.store !== undefined, `${error.key} ${error.store}`);
      check(!isBucketCacheError(new Error("another")), "another error is none of ours");
      async function failing() {
        await cache("brand").set("key", "x".repeat(1_000));
        return cache("brand", { maxValueBytes: 10 }).get("key");
      }
    });

    if (kind === "presigned") {
      test("what the handler denies is forbidden, and thrown", async () => {
        const denied = cache("denied");
        await rejectsWith("ERR_FORBIDDEN", denied.get("key"), "get");
        await rejectsWith("ERR_FORBIDDEN", denied.set("key", 1), "set");
        await rejectsWith("ERR_FORBIDDEN", denied.getOrSet("key", () => 1), "getOrSet"); // prettier-ignore
      });
    }

    if (kind === "presigned") {
      test("metadata that CORS hides from a page is an error that prints the rule, and never guessed at", async () => {
        const hidden = () => createCache({ store: presignedStore({ url: config.hidden }), prefix });
        await hidden().set("hidden", "value", { ttl: "1h" });
        if (!config.hides) return equal(await hidden().get("hidden"), "value", "what nobody hides");
        const error = await rejectsWith("ERR_CORS", hidden().get("hidden"), "what is hidden");
        check(error.message.includes("x-amz-meta-expires_at"), error.message);
      });
    }

    if (kind !== "presigned" && s3 !== undefined) {
      test("a bucket that is not there, and wrong credentials, are thrown", async () => {
        const elsewhere = createCache({ store: open({ bucket: "no-such-bucket" }) });
        await rejectsWith("ERR_NO_SUCH_BUCKET", elsewhere.get("key"), "a bucket that is not there");
        const credentials = { ...s3.credentials, secretAccessKey: "wrong-secret-access-key" };
        const stranger = createCache({ store: open({ credentials }) });
        const error = await rejectsWith("ERR_CREDENTIALS", stranger.get("key"), "wrong credentials");
        check(!`${error.message}${error.stack}`.includes("X-Amz-Signature"), "an error should hold no signature");
        await rejectsWith("ERR_CREDENTIALS", stranger.wrap(() => 1, { name: "f" })(), "a function, with wrong credentials"); // prettier-ignore
      });
    }
  });
}
