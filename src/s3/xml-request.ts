/** Requests that S3 answers in XML. */
import { concat } from "../base/bytes.js";
import type { SignableRequest } from "../types.js";
import type { S3Connection } from "./connection.js";
import { failure, networkFailure, type Purpose } from "./failure.js";
import { perform, type Call } from "./perform.js";
import { parseRefusal, refusalError } from "./refusal.js";
import { REQUEST_LIFE_SECONDS, type Signer } from "./signing.js";
import type { Incoming } from "./transport.js";
import { parseXml, type XmlElement } from "./xml.js";

/** A connection whose requests a signer signs, whatever they ask for. */
export interface BucketConnection extends S3Connection {
  readonly signer: Signer;
}

/** A request, and the meaning of its answer. */
export interface XmlCall<T> extends Pick<Call<T>, "purpose" | "body" | "recover" | "headersTimeoutMs"> {
  request: SignableRequest;
  signal: AbortSignal | undefined;
  read(root: XmlElement, response: Incoming): T;
}

/** A page of 1,000 keys of 1,024 bytes, each escaped threefold, and as much again for the rest. */
const MAX_XML_BYTES = 8 << 20;

/**
 * Performs a request.
 *
 * @throws BucketCacheError `ERR_PROTOCOL` for an answer that is not XML, or without end
 */
export function requestXml<T>(bucket: BucketConnection, { request, read, ...call }: XmlCall<T>): Promise<T> {
  const { purpose } = call;
  return perform<T>(bucket, {
    ...call,
    sign: (renew) => bucket.signer.sign(request, REQUEST_LIFE_SECONDS, renew),
    async accept(response) {
      const xml = new TextDecoder().decode(await readBody(response, purpose));
      const root = parseAnswer(xml, request.method, purpose);
      // Some operations answer 200 first, and fail later.
      if (root.name === "Error") throw refusalError(parseRefusal(500, xml), response, purpose);
      return read(root, response);
    },
  });
}

function parseAnswer(xml: string, method: string, purpose: Purpose): XmlElement {
  try {
    return parseXml(xml);
  } catch (error) {
    const message = `${purpose.store} answered ${method} with something that is not XML: check the endpoint`;
    throw failure("ERR_PROTOCOL", message, purpose, { retry: { retryable: true } }, error);
  }
}

async function readBody(response: Incoming, purpose: Purpose): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  try {
    await response.drain((chunk) => {
      bytes += chunk.byteLength;
      if (bytes > MAX_XML_BYTES) {
        throw failure("ERR_PROTOCOL", `${purpose.store} answered more than ${MAX_XML_BYTES} bytes of XML`, purpose);
      }
      chunks.push(chunk);
    });
  } catch (error) {
    response.cancel();
    throw networkFailure(error, purpose);
  }
  return concat(chunks);
}
