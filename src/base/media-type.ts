/** Media type of bytes about which nothing more is known. */
export const OCTET_STREAM = "application/octet-stream";

/** Returns a media type without its parameters, in lower case. */
export function essenceOf(mediaType: string): string {
  return (mediaType.split(";")[0] as string).trim().toLowerCase();
}
