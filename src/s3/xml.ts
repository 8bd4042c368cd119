/**
 * A strict reader of the XML that S3 answers: elements and text, no values of attributes, no entities but XML's own. A
 * document that is not well-formed is an error, since a list that was cut off must not pass for a short one.
 */
import { unescapeXml } from "./xml-text.js";

export interface XmlElement {
  name: string;
  text: string;
  children: XmlElement[];
}

/** S3 nests four levels. */
const MAX_DEPTH = 16;

const TOKEN =
  /<\?[^>]*\?>|<!--[\s\S]*?-->|<!\[CDATA\[([\s\S]*?)\]\]>|<(\/?)([A-Za-z_][\w.:-]*)((?:\s+[\w.:-]+\s*=\s*(?:"[^"<]*"|'[^'<]*'))*)\s*(\/?)>|([^<]+)/y;

/**
 * Parses a document, and returns its root.
 *
 * @throws Error for a document that is not well-formed
 */
export function parseXml(xml: string): XmlElement {
  const document: XmlElement = { name: "", text: "", children: [] };
  const open: XmlElement[] = [document];
  TOKEN.lastIndex = xml.charCodeAt(0) === 0xfeff ? 1 : 0;
  while (TOKEN.lastIndex < xml.length) {
    const match = TOKEN.exec(xml);
    if (match === null) throw new Error("XML: unexpected markup");
    const [, data, slash, name, , empty, text] = match;
    const parent = open[open.length - 1]!;
    if (data !== undefined) parent.text += data;
    else if (text !== undefined) parent.text += unescapeXml(text);
    else if (name === undefined) continue;
    else if (slash === "/") {
      if (open.length < 2 || parent.name !== name) throw new Error(`XML: </${name}> closes nothing`);
      open.pop();
    } else {
      const element: XmlElement = { name, text: "", children: [] };
      parent.children.push(element);
      if (empty === "/") continue;
      if (open.push(element) > MAX_DEPTH) throw new Error("XML: nested too deep");
    }
  }
  const root = document.children[0];
  if (open.length !== 1 || root === undefined || document.children.length > 1 || document.text.trim() !== "") {
    throw new Error("XML: cut off, or more than one document");
  }
  return root;
}

/** Returns the first child of this name. */
export function child(element: XmlElement, name: string): XmlElement | undefined {
  return element.children.find((candidate) => candidate.name === name);
}

/** Returns the text of the first child of this name; empty when there is none. */
export function childText(element: XmlElement, name: string): string {
  return child(element, name)?.text ?? "";
}
