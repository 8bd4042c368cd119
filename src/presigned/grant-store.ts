/** A store of nothing but the grants that somebody handed over. */
import { readAll } from "../base/body.js";
import type { StoreClock } from "../base/clock.js";
import { parseMetadata } from "../entry/entry.js";
import { gunzipStream } from "../entry/gzip-stream.js";
import type { SignedRequest } from "../types.js";
import { conditionHeaders, type Operation } from "../s3/operations.js";
import { failure } from "../s3/refusal.js";
import { objectClient } from "../s3/objects.js";
import { fetchSend, METADATA } from "../s3/fetch-transport.js";
import type { Bytes, Grant, ObjectStore, PutOptions } from "../types.js";

/** A stream of unknown length is gathered up to here: a grant is for one PUT. Bytes. */
const MAX_GATHERED = 64 << 20;

const NAME = "presigned";

export function grantStore(grants: readonly Grant[], custom: typeof fetch | undefined, clock: StoreClock): ObjectStore {
  const known = new Map<string, Grant>();
  for (const grant of grants) {
    const id = `${grant.operation} ${grant.key}`;
    if (!((known.get(id)?.expiresAt ?? 0) > grant.expiresAt)) known.set(id, grant);
  }

  const refused = (message: string, key?: string) => failure("ERR_FORBIDDEN", message, { store: NAME, key });

  function find(operation: Grant["operation"], key: string): Grant {
    const grant = known.get(`${operation} ${key}`);
    if (grant !== undefined) return grant;
    throw refused(`there is no grant to ${operation} this key (grants name keys with the cache's prefix)`, key);
  }

  let settled = false;

  /**
   * Browsers cannot read the store's `Date`. But a grant lives when it is first used, or is refused: then the store's time
   * is between its signing and its end, and so shortly after they were handed over most likely near the beginning. Later
   * a clock past the end of a grant is no longer a wrong one.
   */
  function settleClock({ expiresAt }: Grant): void {
    if (settled) return;
    settled = true;
    const signedAt = Math.max(...grants.map(({ url }) => signingTime(url)));
    const now = clock.now() / 1_000;
    if (now < signedAt || now > expiresAt) clock.set(signedAt);
  }

  async function sign(operation: Operation, renew: boolean): Promise<SignedRequest> {
    const { op, key } = operation;
    // A GET answers a HEAD too: its body is given up.
    const grant = find(op === "put" ? "write" : op === "delete" ? "delete" : "read", key);
    if (renew) {
      // The store says what this clock did: so it is right after all.
      if (Date.now() > grant.expiresAt * 1_000) clock.set(Date.now() / 1_000);
      throw refused(`the grant to ${grant.operation} this key has ended: ask for a new one`, key);
    }
    settleClock(grant);
    const conditions = op === "put" || op === "delete" ? conditionHeaders(operation) : {};
    return { ...grant, headers: { ...grant.headers, ...conditions } };
  }

  const client = objectClient({
    name: NAME,
    clock,
    send: fetchSend(custom),
    sign,
    partSize: Infinity,
    upload() {
      throw refused("a grant is for one request");
    },
  });

  async function put(key: string, body: Uint8Array | Blob | ReadableStream<Uint8Array>, options: PutOptions) {
    const { headers } = find("write", key);
    const asked = parseMetadata(options.metadata);
    const granted = parseMetadata(
      Object.fromEntries(
        Object.entries(headers)
          .filter(([name]) => name.startsWith(METADATA))
          .map(([name, value]) => [name.slice(METADATA.length), value]),
      ),
    );
    const type = headers["content-type"] ?? "";
    const same = !isSpecific(options.contentType) || essence(options.contentType) === essence(type);
    if (asked.kind === "entry" && granted.kind === "entry" && (asked.meta.codec !== granted.meta.codec || !same)) {
      const wanted = `${asked.meta.codec} as ${options.contentType}`;
      throw refused(`the grant is for ${granted.meta.codec} as ${type}, not for ${wanted}`, key);
    }
    const size = headers["content-length"] === undefined ? undefined : Number(headers["content-length"]);
    let plain = body;
    // What was signed says that the body is not compressed.
    if (asked.kind !== "damaged" && (asked.kind === "entry" ? asked.meta : asked).compressed) {
      const stream =
        "getReader" in body ? body : (body instanceof Uint8Array ? new Blob([body as Bytes]) : body).stream();
      plain = gunzipStream(stream as ReadableStream<Bytes>);
    }
    if ("getReader" in plain) plain = await readAll(plain, size ?? MAX_GATHERED);
    const actual = plain instanceof Uint8Array ? plain.byteLength : plain.size;
    if (size !== undefined && actual !== size) {
      throw refused(`the grant is for ${size} bytes, and there are ${actual}`, key);
    }
    const { etag } = await client.put(key, plain, options);
    const end = granted.kind === "entry" ? granted.meta.expiresAt : undefined;
    return { etag, ...(end !== undefined && { expiresAt: end }) };
  }

  return {
    name: NAME,
    get: client.get,
    head: client.head,
    delete: client.delete,
    put,
    // eslint-disable-next-line require-yield
    async *list() {
      throw refused("a grant is for one entry: there is none to list");
    },
  };
}

/** Unix seconds, as the signature says them; 0 when it does not. */
function signingTime(url: string): number {
  const stamp = /x-amz-date=(....)(..)(..T..)(..)(..Z)/i.exec(url);
  return stamp === null ? 0 : Date.parse(`${stamp[1]}-${stamp[2]}-${stamp[3]}:${stamp[4]}:${stamp[5]}`) / 1_000;
}

function essence(type: string): string {
  return (type.split(";")[0] as string).trim().toLowerCase();
}

/** What says more than that these are bytes. */
function isSpecific(type: string): boolean {
  return essence(type) !== "application/octet-stream";
}
