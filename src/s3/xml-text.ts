/** Text between the tags of XML. */

const ENTITIES: Readonly<Record<string, string>> = { amp: "&", lt: "<", gt: ">", quot: '"', apos: "'" };

/** Escapes text so that it can stand between tags. */
export function escapeXml(text: string): string {
  return text.replace(/[&<>"\r]/g, (char) => `&#${char.charCodeAt(0)};`);
}

/** Replaces the entities that every XML document knows. `unknown` returns what takes the place of any other, or throws. */
export function unescapeXml(text: string, unknown: (entity: string) => string): string {
  return text.replace(/&(#?)(\w*)(;?)/g, (all, numeric: string, name: string, end: string) => {
    const point = Number(numeric === "" ? NaN : name.replace(/^x/i, "0x"));
    const char = numeric === "" ? ENTITIES[name] : point <= 0x10ffff ? String.fromCodePoint(point) : undefined;
    return char === undefined || end === "" || name === "" ? unknown(all) : char;
  });
}

/**
 * Returns the beginning of the text of the first element of this name; empty where there is none. Reads anything, also
 * XML that was cut off, and pages in HTML.
 */
export function findText(xml: string, name: string): string {
  const text = new RegExp(`<${name}>([^<]{0,500})`).exec(xml)?.[1] ?? "";
  return unescapeXml(text, (entity) => entity);
}
