/** Writes of bodies that may be larger than one part. Loaded when there is the first such body, with all that only they need. */
import type { PutOptions, WrittenObject } from "../types.js";
import { partSizeOf } from "./connection.js";
import { readFirstPart } from "./first-part.js";
import { MAX_PARTS } from "./limits.js";
import { conditionOf, type PutOperation } from "./operations.js";
import { partsOfBytes, partsOfStream, type PartSource } from "./part-source.js";
import { sizeOf } from "./transport.js";
import { uploadParts } from "./upload-parts.js";
import { isBlob, type ObjectBody, type ObjectWriter } from "./write-object.js";

/** Writes a body in parts; a stream that fits into one part by one PUT. */
export async function putLarge(
  writer: ObjectWriter,
  operation: PutOperation,
  body: ObjectBody,
  options: PutOptions,
): Promise<WrittenObject> {
  const partSize = partSizeOf(writer.connection);
  if (body instanceof Uint8Array || isBlob(body)) {
    const size = sizeOf(body);
    const enoughSize = Math.max(partSize, Math.ceil(size / MAX_PARTS));
    return putInParts(writer, { ...operation, size }, partsOfBytes(body, enoughSize), options);
  }
  const beginning = await readFirstPart(body, partSize, options.signal);
  if (beginning instanceof Uint8Array) {
    return writer.putWhole({ ...operation, size: beginning.byteLength }, beginning, options);
  }
  return putInParts(writer, operation, partsOfStream(beginning, partSize), options);
}

function putInParts(
  { connection, conditions }: ObjectWriter,
  operation: PutOperation,
  parts: PartSource,
  { signal, onProgress }: PutOptions,
): Promise<WrittenObject> {
  const upload = connection.upload(operation);
  return uploadParts(connection, upload, parts, {
    key: operation.key,
    totalBytes: operation.size,
    signal,
    onProgress,
    complete: (uploadId, uploaded) =>
      conditions.run(conditionOf(operation), (condition) => upload.complete(uploadId, uploaded, condition, signal)),
  });
}
