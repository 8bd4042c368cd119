/** The beginning of a stream, which is then given up. */
export async function readStart(
  stream: ReadableStream<Uint8Array>,
  limit: number,
): Promise<{ bytes: Uint8Array<ArrayBuffer>; isWhole: boolean }> {
  const reader = stream.getReader();
  const bytes = new Uint8Array(limit);
  let length = 0;
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return { bytes: bytes.slice(0, length), isWhole: true };
    const fitting = value.subarray(0, limit - length);
    bytes.set(fitting, length);
    length += fitting.byteLength;
    if (fitting.byteLength < value.byteLength || length === limit) {
      await reader.cancel();
      return { bytes: bytes.slice(0, length), isWhole: false };
    }
  }
}
