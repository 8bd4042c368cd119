/**
 * Writes of bodies that may be larger than one part. The writer loads this file with the first such body, together with
 * all that only they need, and sends the single requests. So this file imports nothing that a page loads to read.
 */
import type { PutOptions, WrittenObject } from "../types.js";
import { readFirstPart } from "./first-part.js";
import type { PutOperation } from "./operations.js";
import { partsOfBytes, partsOfStream, type PartSource } from "./part-source.js";
import { uploadParts } from "./upload-parts.js";
import type { ObjectBody, ObjectWriter } from "./write-object.js";

/**
 * Writes a body in parts; a stream that fits into one part by one PUT.
 *
 * @param operation Tells the size of the body, where it is known.
 */
export async function putLarge(
  writer: ObjectWriter,
  operation: PutOperation,
  body: ObjectBody,
  options: PutOptions,
): Promise<WrittenObject> {
  const partSize = writer.partSizeFor(operation.size);
  let parts: PartSource;
  if ("getReader" in body) {
    const beginning = await readFirstPart(body, partSize, options.signal);
    if (beginning instanceof Uint8Array) {
      return writer.putWhole({ ...operation, size: beginning.byteLength }, beginning, options);
    }
    parts = partsOfStream(beginning, partSize);
  } else {
    parts = partsOfBytes(body, operation.size ?? 0, partSize);
  }
  return uploadParts(writer, operation, parts, options);
}
