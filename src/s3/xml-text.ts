/** Text between the tags of XML. */

const ENTITIES: Readonly<Record<string, string>> = { amp: "&", lt: "<", gt: ">", quot: '"', apos: "'" };

/** Escapes text so that it can stand between tags. */
export function escapeXml(text: string): string {
  return text.replace(/[&<>"\r]/g, (char) => `&#${char.charCodeAt(0)};`);
}

/**
 * Replaces the entities of a text by the characters that they stand for.
 *
 * @throws Error for an entity that is not XML's own
 */
export function unescapeXml(text: string): string {
  if (!text.includes("&")) return text;
  return text.replace(/&(#?)(\w*)(;?)/g, (all, numeric: string, name: string, end: string) => {
    const point = Number(numeric === "" ? NaN : name.replace(/^x/i, "0x"));
    const char = numeric === "" ? ENTITIES[name] : point <= 0x10ffff ? String.fromCodePoint(point) : undefined;
    if (char === undefined || end === "" || name === "") throw new Error(`XML: unknown entity ${all}`);
    return char;
  });
}

/**
 * Returns the beginning of the text of the first element of this name; empty where there is none. Reads anything, also
 * XML that was cut off, and pages in HTML. An entity that is not XML's own stays as it is.
 */
export function findText(xml: string, name: string): string {
  const text = new RegExp(`<${name}>([^<]{0,500})`).exec(xml)?.[1] ?? "";
  return text.replace(/&(\w+);/g, (all, entity: string) => ENTITIES[entity] ?? all);
}
