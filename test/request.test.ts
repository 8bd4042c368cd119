import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import type { FoundObject } from "bucketcache";
import { StoreClock } from "../src/base/clock.js";
import { Capabilities } from "../src/s3/capabilities.js";
import { toRequest } from "../src/s3/operations.js";
import type { ObjectConnection } from "../src/s3/connection.js";
import { objectClient, type ObjectClient } from "../src/s3/objects.js";
import type { GetOptions } from "../src/s3/read-object.js";
import { LIMITS, type Limits } from "../src/s3/retry.js";
import { fetchSend } from "../src/s3/fetch-transport.js";
import { nodeSend, type NodeSend } from "../src/s3/node-transport.js";
import { cutOff, ENTRY, object, ok, refuse, reset, scriptedServer, silent, type Scripted } from "./support/scripted.js";

/** As long as a busy machine may take. */
const PATIENT = { timeout: 50_000 };

const FIELDS = { contentType: "text/plain", metadata: { entry: ENTRY } };
const bytes = (text: string) => new TextEncoder().encode(text);

let server: Scripted;
let node: NodeSend;
let signatures: boolean[];

beforeEach(async () => {
  server = await scriptedServer();
  node = nodeSend()!;
  signatures = [];
});

afterEach(async () => {
  node.close();
  await server.close();
});

describe.each(["node:http", "fetch"])("over %s", (transport) => {
  const clock = () => new StoreClock();
  // undici makes a connection in advance for each that it destroys; nothing has been sent on it.
  const busy = () => [...server.sockets].filter((socket) => socket.bytesRead > 0).length;

  function client(limits: Partial<Limits> = {}, overrides: Partial<ObjectConnection> = {}): ObjectClient {
    return objectClient({
      name: "s3:test",
      clock: clock(),
      capabilities: new Capabilities("s3:test", []),
      send: transport === "fetch" ? fetchSend() : node.send,
      limits: { ...LIMITS, delayMs: 1, ...limits },
      partSize: 8 << 20,
      async sign(operation, renew) {
        signatures.push(renew);
        const { method, key, headers = {} } = toRequest(operation);
        return { method, url: `${server.url}/bucket/${key}?X-Amz-Signature=s3cr3t`, headers, expiresAt: Infinity };
      },
      upload() {
        throw new Error("not here");
      },
      ...overrides,
    });
  }

  async function found(store: ObjectClient, options?: GetOptions) {
    const result = await store.get("k", options);
    if (result === undefined || result === "not-modified") throw new Error(`the store answered ${result}`);
    return result as typeof result & { bytes: NonNullable<FoundObject["bytes"]> };
  }

  const textOf = async (store: ObjectClient, options?: GetOptions) =>
    new TextDecoder().decode(await (await found(store, options)).bytes(1_000));

  test.each([
    ["a reset connection", reset],
    ["503 SlowDown", refuse(503, "SlowDown")],
    ["500 InternalError", refuse(500, "InternalError")],
    ["a bare 502", refuse(502)],
    ["429", refuse(429)],
    ["400 RequestTimeout", refuse(400, "RequestTimeout")],
    ["409 ConditionalRequestConflict", refuse(409, "ConditionalRequestConflict")],
  ])("%s is tried again", async (_, failing) => {
    server.play(failing, failing, object("hello"));
    expect(await textOf(client())).toBe("hello");
    expect(server.seen).toHaveLength(3);
  });

  test("after three attempts the store counts as down, and the error says which, for which key, and why", async () => {
    server.play(reset);
    await expect(client().get("k")).rejects.toMatchObject({
      name: "BucketCacheError",
      code: "ERR_UNAVAILABLE",
      key: "k",
      store: "s3:test",
      cause: expect.any(Error),
    });
    expect(server.seen).toHaveLength(3);
  });

  test("what the store asks to wait is waited, within reason", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "Date"], shouldAdvanceTime: true });
    try {
      server.play(refuse(503, "SlowDown", { "retry-after": "3600" }), object("hello"));
      const reading = textOf(client());
      await vi.waitFor(() => expect(server.seen).toHaveLength(1), PATIENT);
      await vi.waitFor(async () => {
        await vi.advanceTimersByTimeAsync(5_000);
        expect(server.seen).toHaveLength(2);
      }, PATIENT);
      expect(await reading).toBe("hello");
    } finally {
      vi.useRealTimers();
    }
  });

  test("a store that does not answer in time is given up", async () => {
    server.play(silent);
    await expect(client({ headersMs: 30 }).head("k")).rejects.toMatchObject({ code: "ERR_TIMEOUT", key: "k" });
    expect(server.seen).toHaveLength(3);
    await vi.waitFor(() => expect(busy()).toBe(0), PATIENT);
  });

  test("no attempt begins after the budget", async () => {
    server.play(silent);
    await expect(client({ headersMs: 300, budgetMs: 200 }).head("k")).rejects.toMatchObject({ code: "ERR_TIMEOUT" });
    expect(server.seen).toHaveLength(1);
  });

  describe("a body that breaks off", () => {
    test("is resumed where it ended when read whole", async () => {
      server.play(cutOff("0123456789", 4), object("0123456789"));
      expect(await textOf(client())).toBe("0123456789");
      // Small bodies come from `fetch` in one piece or not at all.
      const rest = transport === "fetch" ? "bytes=0-9" : "bytes=4-9";
      expect(server.seen.map((request) => request.headers.range)).toEqual([undefined, rest]);
    });

    test("is resumed where it ended when streamed", async () => {
      server.play(cutOff("0123456789", 4), object("0123456789"));
      const { body } = await found(client());
      expect(await new Response(body).text()).toBe("0123456789");
      expect(server.seen).toHaveLength(2);
    });

    test("is resumed within the range that was asked for", async () => {
      server.play(
        (request, response) => {
          response.writeHead(206, { etag: '"e1"', "content-length": "5", "content-range": "bytes 2-6/10" });
          expect(request.headers.range).toBe("bytes=2-6");
          response.write("23", () => response.destroy());
        },
        object("0123456789", { "last-modified": "" }),
      );
      const { body, size } = await found(client(), { range: { offset: 2, length: 5 } });
      expect(size).toBe(10);
      expect(await new Response(body).text()).toBe("23456");
      expect(server.seen[1]?.headers.range).toBe("bytes=4-6");
    });

    test("after silence is resumed too", async () => {
      server.play((_, response) => {
        response.writeHead(200, {
          etag: '"e1"',
          "last-modified": "Sun, 22 Nov 2026 03:00:00 GMT",
          "content-length": "10",
        });
        response.write("0123");
      }, object("0123456789"));
      expect(await textOf(client({ silenceMs: 50 }))).toBe("0123456789");
    });

    test("of an object that has changed meanwhile fails: two halves of two objects are no object", async () => {
      server.play(cutOff("0123456789", 4), object("abcdefghij", { etag: '"e2"' }));
      const { body } = await found(client());
      await expect(new Response(body).text()).rejects.toMatchObject({ code: "ERR_CONFLICT" });
      server.play(cutOff("0123456789", 4), object("abcdefghij", { "last-modified": "Sun, 22 Nov 2026 03:00:01 GMT" }));
      await expect(textOf(client())).rejects.toMatchObject({ code: "ERR_CONFLICT" });
    });

    test("each time without coming further is given up", async () => {
      server.play(cutOff("0123456789", 4), (request, response) => {
        const start = Number(/\d+/.exec(request.headers.range ?? "")?.[0]);
        response.writeHead(206, {
          etag: '"e1"',
          "last-modified": "Sun, 22 Nov 2026 03:00:00 GMT",
          "content-range": `bytes ${start}-9/10`,
          "content-length": String(10 - start),
          "x-amz-meta-entry": ENTRY,
        });
        response.flushHeaders();
        setImmediate(() => response.destroy());
      });
      await expect(textOf(client())).rejects.toMatchObject({ code: "ERR_UNAVAILABLE" });
    });
  });

  test("an object larger than what is allowed is not read", async () => {
    server.play(object("x".repeat(200_000)));
    await expect((await found(client())).bytes(199_999)).rejects.toMatchObject({ code: "ERR_TOO_LARGE", key: "k" });
    await vi.waitFor(() => expect(busy()).toBe(0), PATIENT);
  });

  test("an object of unknown length is read to its end, which tells it", async () => {
    server.play((_, response) => {
      response.writeHead(200, { etag: '"e1"', "x-amz-meta-entry": ENTRY });
      response.end("hello");
    });
    const object = await found(client());
    expect(object.size).toBeNaN();
    expect(new TextDecoder().decode(await object.bytes(10))).toBe("hello");
    expect(object.size).toBe(5);
  });

  test("an object of unknown length is bounded as well", async () => {
    server.play((_, response) => {
      response.writeHead(200, { "transfer-encoding": "chunked", etag: '"e1"' });
      const more = () => response.writable && response.write("x".repeat(65_536), () => setImmediate(more));
      more();
    });
    await expect((await found(client())).bytes(1 << 20)).rejects.toMatchObject({ code: "ERR_TOO_LARGE" });
    await vi.waitFor(() => expect(busy()).toBe(0), PATIENT);
  });

  test("an absent object is undefined, an absent bucket an error", async () => {
    server.play(refuse(404, "NoSuchKey"));
    expect(await client().get("k")).toBeUndefined();
    expect(await client().head("k")).toBeUndefined();
    server.play(refuse(404, "NoSuchBucket"));
    await expect(client().get("k")).rejects.toMatchObject({ code: "ERR_NO_SUCH_BUCKET" });
    expect(server.seen).toHaveLength(1);
  });

  test.each([
    [403, "AccessDenied", "ERR_FORBIDDEN", /allow s3:GetObject, and s3:ListBucket/],
    [403, "InvalidAccessKeyId", "ERR_CREDENTIALS", /access key/],
    [403, "SignatureDoesNotMatch", "ERR_CREDENTIALS", /ignore_invalid_headers off/],
    [403, "", "ERR_FORBIDDEN", /403/],
    [400, "EntityTooLarge", "ERR_TOO_LARGE", /400/],
    [405, "MethodNotAllowed", "ERR_UNSUPPORTED", /405/],
    [418, "Teapot", "ERR_STORE", /418 Teapot: no/],
  ])("%i %s is %s, at once and with what to do", async (status, code, ours, advice) => {
    server.play(refuse(status, code));
    await expect(client().get("k")).rejects.toMatchObject({
      code: ours,
      key: "k",
      message: expect.stringMatching(advice),
    });
    // Where headers of the answer were overridden, a HEAD tells whether that was at fault, and a GET says why it was not.
    const isDoubted = code === "SignatureDoesNotMatch" && transport === "fetch";
    expect(server.seen).toHaveLength(isDoubted ? 3 : 1);
  });

  test("a HEAD that is refused is refused without a body too", async () => {
    server.play(refuse(403));
    await expect(client().head("k")).rejects.toMatchObject({ code: "ERR_FORBIDDEN" });
  });

  test("a redirect is an error that names the region of the bucket", async () => {
    server.play(
      refuse(301, "PermanentRedirect", { location: `${server.url}/elsewhere`, "x-amz-bucket-region": "eu-west-3" }),
    );
    await expect(client().get("k")).rejects.toMatchObject({
      code: "ERR_STORE",
      message: expect.stringContaining("the bucket is in eu-west-3: set `region`, or that of the client"),
    });
    server.play(refuse(307, "", { location: `${server.url}/elsewhere` }));
    await expect(client().put("k", bytes("x"), FIELDS)).rejects.toMatchObject({
      message: expect.stringContaining("redirect"),
    });
    expect(server.seen).toHaveLength(1);
  });

  test("an endless error is read only so far", async () => {
    let written = 0;
    server.play((_, response) => {
      response.writeHead(400);
      response.write("<Error><Code>Teapot</Code><Message>short</Message>");
      const more = () => {
        if (!response.writable || response.destroyed) return;
        written += 65_536;
        response.write("x".repeat(65_536), () => setImmediate(more));
      };
      more();
    });
    await expect(client().get("k")).rejects.toMatchObject({
      code: "ERR_STORE",
      message: expect.stringContaining("short"),
    });
    await vi.waitFor(() => expect(busy()).toBe(0), PATIENT);
    expect(written).toBeLessThan(64 << 20);
  });

  test("nothing of a signature is in an error, whatever the store says", async () => {
    const echo = "X-Amz-Signature=s3cr3t X-Amz-Credential=AKIA/x X-Amz-Security-Token=t0ken Authorization: s3cr3t";
    server.play(refuse(400, "Teapot", {}, echo));
    const refused = await client()
      .get("k")
      .then(String, (error: Error) => error);
    server.play(reset);
    const down = await client()
      .get("k")
      .then(String, (error: Error) => error);
    for (const error of [refused, down] as Error[]) {
      const text = [
        error.message,
        error.stack,
        String(error.cause),
        JSON.stringify(error.cause),
        JSON.stringify(error),
      ].join();
      expect(text).not.toMatch(/s3cr3t|AKIA|t0ken/);
    }
  });

  describe("a signature", () => {
    test.each([
      ["403 AccessDenied, Request has expired", refuse(403, "AccessDenied", {}, "Request has expired")],
      ["403 AccessDenied, not valid yet", refuse(403, "AccessDenied", {}, "Request is not valid yet")],
      ["400 ExpiredToken", refuse(400, "ExpiredToken")],
      ["403 RequestTimeTooSkewed", refuse(403, "RequestTimeTooSkewed")],
    ])("is renewed once after %s", async (_, refused) => {
      server.play(refused, object("hello"));
      expect(await textOf(client())).toBe("hello");
      server.play(refused);
      await expect(client().get("k")).rejects.toMatchObject({
        code: expect.stringMatching(/ERR_CLOCK_SKEW|ERR_CREDENTIALS/),
      });
      expect(server.seen).toHaveLength(2);
      expect(signatures).toEqual([false, true, false, true]);
    });

    test("is not renewed after a plain 403, which may mean absent", async () => {
      server.play(refuse(403, "AccessDenied"));
      await expect(client().get("k")).rejects.toMatchObject({ code: "ERR_FORBIDDEN" });
      expect(signatures).toEqual([false]);
    });

    test("is renewed for a HEAD, which says nothing, when the clock turns out to be wrong", async () => {
      const date = new Date(Date.now() + 7_200_000).toUTCString();
      server.play(refuse(403, "", { date }), object("hello", { date }));
      expect(await client().head("k")).toMatchObject({ size: 5 });
      expect(signatures).toEqual([false, true]);
    });
  });

  test("the store's clock counts, not ours", async () => {
    server.play(object("x", { date: new Date(Date.now() - 7_200_000).toUTCString() }));
    const { now } = (await client().head("k"))!;
    expect(Math.abs(Number(now) - (Date.now() - 7_200_000))).toBeLessThan(5_000);
  });

  describe("a write", () => {
    test("sends its length, type, metadata, condition and the marker", async () => {
      server.play(ok());
      const put = client().put("k", bytes("hello"), { ...FIELDS, ifMatch: '"old"', sha256: "c2hh" });
      expect(await put).toEqual({ etag: '"new"', lastModified: expect.any(Date) });
      expect(server.seen[0]).toMatchObject({
        method: "PUT",
        headers: {
          "content-length": "5",
          "content-type": "text/plain",
          "cache-control": "no-store, bucketcache=1",
          "x-amz-meta-entry": ENTRY,
          "if-match": '"old"',
          "x-amz-checksum-sha256": "c2hh",
        },
      });
      expect(server.seen[0]!.body.toString()).toBe("hello");
    });

    test("takes bytes, a Blob or a stream", async () => {
      server.play(ok());
      const stream = new ReadableStream<Uint8Array>({
        start(controller) {
          controller.enqueue(bytes("he"));
          controller.enqueue(bytes("llo"));
          controller.close();
        },
      });
      const loaded: unknown[] = [];
      for (const body of [bytes("hello"), new Blob(["hello"]), stream, new Uint8Array(0)]) {
        await client().put("k", body, { ...FIELDS, onProgress: (progress) => loaded.push(progress) });
      }
      expect(server.seen.map((request) => request.body.toString())).toEqual(["hello", "hello", "hello", ""]);
      expect(server.seen.map((request) => request.headers["content-length"])).toEqual(["5", "5", "5", "0"]);
      expect(loaded.slice(0, 3)).toEqual(Array(3).fill({ loaded: 5, total: 5 }));
      await expect(client().put("k", "text" as never, FIELDS)).rejects.toThrow(TypeError);
    });

    test("refused with 412 is a conflict", async () => {
      server.play(refuse(412, "PreconditionFailed"));
      await expect(client().put("k", bytes("x"), { ...FIELDS, ifNoneMatch: "*" })).rejects.toMatchObject({
        code: "ERR_CONFLICT",
        key: "k",
      });
      // The HEAD tells whether the condition, or the store, is at fault.
      expect(server.seen.map((request) => request.method)).toEqual(["PUT", "HEAD"]);
    });

    test("whose first answer was lost is recognised by its nonce when the second is 412", async () => {
      server.play(reset, refuse(412, "PreconditionFailed"), object("x"));
      expect(await client().put("k", bytes("x"), { ...FIELDS, ifNoneMatch: "*" })).toEqual({
        etag: '"e1"',
        lastModified: expect.any(Date),
      });
      expect(server.seen.map((request) => request.method)).toEqual(["PUT", "PUT", "HEAD"]);
    });

    test("that lost to another's is a conflict also after a lost answer", async () => {
      server.play(
        reset,
        refuse(412, "PreconditionFailed"),
        object("x", { "x-amz-meta-entry": ENTRY.replace("AAAA", "BBBB") }),
      );
      await expect(client().put("k", bytes("x"), { ...FIELDS, ifNoneMatch: "*" })).rejects.toMatchObject({
        code: "ERR_CONFLICT",
      });
    });

    test("goes without its condition where the store knows none, then and later", async () => {
      server.play(refuse(501, "NotImplemented"), refuse(404), refuse(404, "NoSuchKey"), ok(), refuse(404), ok());
      const store = client();
      await store.put("k", bytes("x"), { ...FIELDS, ifNoneMatch: "*" });
      await store.put("k", bytes("x"), { ...FIELDS, ifNoneMatch: "*" });
      const puts = server.seen.filter((request) => request.method === "PUT");
      expect(puts.map((request) => request.headers["if-none-match"])).toEqual(["*", undefined, undefined]);
      expect(server.seen.map((request) => request.method)).toEqual(["PUT", "HEAD", "GET", "PUT", "HEAD", "PUT"]);
    });

    test("with a source that fails rejects with the source's own error, and sends nothing", async () => {
      server.play(ok());
      const boom = new Error("boom");
      const stream = new ReadableStream<Uint8Array>({
        pull(controller) {
          controller.enqueue(bytes("x"));
          controller.error(boom);
        },
      });
      await expect(client().put("k", stream, FIELDS)).rejects.toBe(boom);
      expect(server.seen).toHaveLength(0);
    });

    // On a machine that is busy enough nothing moves for longer than the limit, which has to be short.
    test("that moves is not silent, however long it takes", { retry: 3 }, async () => {
      const body = new Uint8Array(24 << 20);
      server.play(ok());
      // A line on which 24 MiB take longer than any of the limits.
      const slow = client({ silenceMs: 1_500, headersMs: 1_500, attempts: 1 });
      server.sockets.clear();
      const writing = slow.put("k", body, { ...FIELDS, sha256: "c2hh" });
      await vi.waitFor(() => expect(server.sockets.size).toBe(1), PATIENT);
      const [socket] = server.sockets;
      let stop = false;
      const brake = async () => {
        while (!stop) {
          socket!.pause();
          await new Promise((resolve) => setTimeout(resolve, 100));
          socket!.resume();
          await new Promise((resolve) => setImmediate(resolve));
        }
      };
      const braking = brake();
      try {
        expect(await writing).toEqual({ etag: '"new"', lastModified: expect.any(Date) });
      } finally {
        stop = true;
        await braking;
      }
    });
  });

  describe("an abort", () => {
    const reason = new Error("enough");

    test("before anything else sends nothing", async () => {
      server.play(object("x"));
      const signal = AbortSignal.abort(reason);
      await expect(client().get("k", { signal })).rejects.toBe(reason);
      await expect(client().head("k", { signal })).rejects.toBe(reason);
      await expect(client().put("k", bytes("x"), { ...FIELDS, signal })).rejects.toBe(reason);
      await expect(client().delete("k", { signal })).rejects.toBe(reason);
      expect(server.seen).toHaveLength(0);
    });

    test("under way rejects with the signal's own reason, and closes the connection", async () => {
      server.play(silent);
      for (const run of ["get", "head", "put", "delete"] as const) {
        const controller = new AbortController();
        const store = client();
        const options = { signal: controller.signal };
        const running =
          run === "put" ? store.put("k", bytes("x"), { ...FIELDS, ...options }) : store[run]("k", options);
        await vi.waitFor(() => expect(server.seen.length).toBeGreaterThan(0), PATIENT);
        controller.abort(reason);
        await expect(running).rejects.toBe(reason);
        server.seen.length = 0;
      }
      await vi.waitFor(() => expect(busy()).toBe(0), PATIENT);
    });

    test("between two attempts ends the wait", async () => {
      server.play(refuse(503, "SlowDown", { "retry-after": "9" }));
      const controller = new AbortController();
      const running = client().get("k", { signal: controller.signal });
      await vi.waitFor(() => expect(server.seen).toHaveLength(1), PATIENT);
      setImmediate(() => controller.abort(reason));
      await expect(running).rejects.toBe(reason);
    });

    test("may be that of a hundred reads, without a warning of Node's", async () => {
      const warn = vi.fn();
      process.on("warning", warn);
      try {
        server.play(object("hello"));
        const { signal } = new AbortController();
        const store = client();
        await Promise.all(Array.from({ length: 100 }, () => textOf(store, { signal })));
        await new Promise((resolve) => setImmediate(resolve));
        expect(warn).not.toHaveBeenCalled();
      } finally {
        process.off("warning", warn);
      }
    });

    test("fails a stream that is being read", async () => {
      server.play((_, response) => {
        response.writeHead(200, { "content-length": "10", etag: '"e1"' });
        response.write("01234");
      });
      const controller = new AbortController();
      const { body } = await found(client(), { signal: controller.signal });
      const reader = body.getReader();
      await reader.read();
      controller.abort(reason);
      await expect(reader.read()).rejects.toBe(reason);
      await vi.waitFor(() => expect(busy()).toBe(0), PATIENT);
    });
  });

  test("metadata hidden by CORS is an error with the rule that is missing, never a guess", async () => {
    server.play((_, response) => {
      response.writeHead(200, { "cache-control": "no-store, bucketcache=1", "content-length": "1" });
      response.end("x");
    });
    await expect(client().get("k")).rejects.toMatchObject({
      code: "ERR_CORS",
      message: expect.stringContaining('"ExposeHeaders": ["x-amz-meta-entry"'),
    });
  });

  test("304 is not modified, unless the time says that the same bytes were written again", async () => {
    const since = "Sun, 22 Nov 2026 03:00:00 GMT";
    server.play((_, response) => {
      response.writeHead(304, { etag: '"e1"', "last-modified": since });
      response.end();
    }, object("new"));
    const lastModified = new Date(since);
    expect(await client().get("k", { ifNoneMatch: '"e1"' })).toBe("not-modified");
    server.play((_, response) => {
      response.writeHead(304, { etag: '"e1"', "last-modified": "Sun, 22 Nov 2026 03:00:09 GMT" });
      response.end();
    }, object("new"));
    expect(await textOf(client(), { ifNoneMatch: '"e1"', lastModified })).toBe("new");
    expect(server.seen.map((request) => request.headers["if-none-match"])).toEqual(['"e1"', undefined]);
  });

  test("what a write knows of its time goes with the next condition", async () => {
    const date = "Sun, 22 Nov 2026 03:00:00 GMT";
    server.play(ok({ etag: '"e1"', date }));
    const written = await client().put("k", bytes("x"), FIELDS);
    expect(written).toEqual({ etag: '"e1"', lastModified: expect.any(Date) });
    expect(written).toHaveProperty("lastModified", new Date(date));
  });

  test("bytes that the runtime ungzips on the way count as plain", async () => {
    const { gzipSync } = await import("node:zlib");
    if (transport !== "fetch") return;
    server.play(object(gzipSync("hello"), { "content-encoding": "gzip", "x-amz-meta-compressed": "true" }));
    const store = client(
      {},
      {
        sign: async () => ({
          method: "GET",
          url: `${server.url}/k?response-content-encoding=gzip&X-Amz-Signature=s`,
          headers: {},
          expiresAt: Infinity,
        }),
      },
    );
    expect(await textOf(store)).toBe("hello");
    expect((await found(store)).metadata).toEqual({ entry: ENTRY });
  });

  test("a stream that is cancelled while it waits is not resumed", async () => {
    server.play((_, response) => {
      response.writeHead(200, { "content-length": "100000", etag: '"e1"' });
      response.write("01234");
    });
    const { body } = await found(client());
    const reader = body.getReader();
    await reader.read();
    const waiting = reader.read();
    await reader.cancel();
    expect(await waiting).toEqual({ done: true, value: undefined });
    await vi.waitFor(() => expect(busy()).toBe(0), PATIENT);
    server.play(object("x"));
    await client().head("k");
    expect(server.seen.map(({ method }) => method)).toEqual(["HEAD"]);
  });

  test("a body that nobody reads gives its connection back after the silence, and can still be read", async () => {
    server.play(object("x".repeat(3_000_000)));
    const unread = await found(client({ silenceMs: 50 }));
    await vi.waitFor(() => expect(busy()).toBe(0), PATIENT);
    expect((await unread.bytes(1 << 22)).byteLength).toBe(3_000_000);
  });

  test("a content type that no header can hold is misuse", async () => {
    server.play(ok());
    await expect(client().put("k", bytes("x"), { ...FIELDS, contentType: "text/plain\r\nx: y" })).rejects.toThrow(
      TypeError,
    );
    expect(server.seen).toHaveLength(0);
  });

  test("a delete of an absent object is no error", async () => {
    server.play(refuse(404, "NoSuchKey"));
    await client().delete("k");
    server.play((_, response) => response.writeHead(204).end());
    await client().delete("k", { ifMatch: '"e1"' });
    expect(server.seen[0]?.headers["if-match"]).toBe('"e1"');
  });

  test("1,000 reads that nobody reads to the end leave no socket behind", async () => {
    const large = object("x".repeat(300_000));
    const small = object("x".repeat(3_000));
    const store = client();
    for (const [step, method] of [
      [large, "get"],
      [small, "get"],
      [refuse(403, "AccessDenied"), "get"],
      [small, "head"],
    ] as const) {
      server.play(step);
      const before = server.connections();
      for (let round = 0; round < 10; round++) {
        await Promise.allSettled(
          Array.from({ length: 25 }, async () => {
            const result = await store[method]("k");
            if (result !== undefined && typeof result === "object" && "body" in result) {
              await (result.body as ReadableStream).cancel();
            }
          }),
        );
      }
      // Small bodies are read to their end, which keeps the connections for the next request.
      if (transport === "node:http" && step !== large) expect(server.connections() - before).toBeLessThanOrEqual(30);
      await vi.waitFor(() => expect(server.sockets.size).toBeLessThanOrEqual(60), PATIENT);
    }
  });
});
