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
  return text.replace(/&#?\w*;?/g, (entity) => {
    const char = charOf(entity);
    if (char === undefined) throw new Error(`XML: unknown entity ${entity}`);
    return char;
  });
}

/** Returns the character that an entity stands for, by name or by number. */
function charOf(entity: string): string | undefined {
  const [, numeric, name = ""] = /^&(#?)(\w+);$/.exec(entity) ?? [];
  if (numeric !== "#") return ENTITIES[name];
  const point = Number(name.replace(/^x/i, "0x"));
  return point <= 0x10ffff ? String.fromCodePoint(point) : undefined;
}

/**
 * Returns the beginning of the text of the first element of this name, without white space around it; empty where there
 * is none. Reads anything, also XML that was cut off, and pages in HTML. An entity that is not XML's own stays as it is.
 */
export function findText(xml: string, name: string): string {
  const text = new RegExp(`<(?:\\w+:)?${name}(?:\\s[^<>]*)?>([^<]{0,500})`).exec(xml)?.[1] ?? "";
  return text.trim().replace(/&#?\w+;/g, (entity) => charOf(entity) ?? entity);
}

/** Whether this is the XML of an error that ends before its root does. */
export function isCutError(xml: string): boolean {
  const root = /^\s*(?:<\?xml[^>]*>\s*)?(<(?:\w+:)?Error[\s>])?/.exec(xml);
  if (root?.[1] !== undefined) return !/<\/(?:\w+:)?Error\s*>/.test(xml);
  return /^\s*<\?xml[^>]*>?\s*(?:<\w*)?$/.test(xml);
}
