import { S3Error } from "./errors.js";

const DECLARATION = '<?xml version="1.0" encoding="UTF-8"?>\n';
const NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/";

/** An element of a parsed document. */
export interface XmlElement {
  name: string;
  text: string;
  children: XmlElement[];
}

/** Makes a whole document; `inner` is XML already. */
export function xmlDocument(root: string, inner: string, namespace = true): string {
  return `${DECLARATION}<${root}${namespace ? ` xmlns="${NAMESPACE}"` : ""}>${inner}</${root}>`;
}

/** Makes one element with text; nothing without a text. */
export function tag(name: string, text: string | number | boolean | undefined): string {
  return text === undefined ? "" : `<${name}>${escapeText(String(text))}</${name}>`;
}

// Control characters in keys become references, as on S3: XML 1.0 has no legal form for most of them.
const ESCAPES = /[&<>"\u0000-\u001f\ufffe\uffff]/g;
const NAMED: Readonly<Record<string, string>> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" };

function escapeText(text: string): string {
  return text.replace(ESCAPES, (char) => NAMED[char] ?? `&#x${char.charCodeAt(0).toString(16)};`);
}

const MAX_DEPTH = 16;
const TOKEN =
  /<!--[\s\S]*?-->|<!\[CDATA\[([\s\S]*?)\]\]>|<\/([\w:.-]+)\s*>|<([\w:.-]+)((?:\s+[\w:.-]+\s*=\s*(?:"[^"<]*"|'[^'<]*'))*)\s*(\/?)>|([^<]+)/y;

/**
 * Returns the root element of a request body. The reader is small and strict: it takes no document type, no entities but
 * the five of XML and character references, and no processing instructions after the declaration. Namespace prefixes are
 * dropped.
 *
 * @throws S3Error MalformedXML.
 */
export function parseXml(body: Uint8Array): XmlElement {
  let source: string;
  try {
    source = new TextDecoder("utf-8", { fatal: true }).decode(body);
  } catch {
    throw new S3Error("MalformedXML");
  }
  const document: XmlElement = { name: "", text: "", children: [] };
  const open = [document];
  TOKEN.lastIndex = /^\s*(?:<\?xml\s[^?]*\?>)?/.exec(source)?.[0].length ?? 0;
  while (TOKEN.lastIndex < source.length) {
    const token = TOKEN.exec(source);
    const parent = open.at(-1);
    if (token === null || parent === undefined) throw new S3Error("MalformedXML");
    const [, cdata, closing, opening, , selfClosing, text] = token;
    if (opening !== undefined) {
      const element: XmlElement = { name: localName(opening), text: "", children: [] };
      parent.children.push(element);
      if (selfClosing !== "/") open.push(element);
      if (open.length > MAX_DEPTH) throw new S3Error("MalformedXML");
    } else if (closing !== undefined) {
      if (open.length === 1 || localName(closing) !== parent.name) throw new S3Error("MalformedXML");
      open.pop();
    } else if (cdata !== undefined) {
      parent.text += cdata;
    } else if (text !== undefined) {
      parent.text += unescapeText(text);
    }
  }
  const root = document.children[0];
  if (root === undefined || document.children.length > 1 || open.length > 1 || document.text.trim() !== "") {
    throw new S3Error("MalformedXML");
  }
  return root;
}

function localName(name: string): string {
  return name.slice(name.indexOf(":") + 1);
}

const ENTITIES = new Map([
  ["amp", "&"],
  ["lt", "<"],
  ["gt", ">"],
  ["quot", '"'],
  ["apos", "'"],
]);

function unescapeText(text: string): string {
  if (!text.includes("&")) return text;
  return text.replace(
    /&(?:#x([0-9a-f]{1,6})|#([0-9]{1,7})|([a-z]+));|&/gi,
    (_, hex?: string, decimal?: string, name?: string) => {
      const entity = ENTITIES.get(name ?? "");
      if (entity !== undefined) return entity;
      const code = hex !== undefined ? Number.parseInt(hex, 16) : Number.parseInt(decimal ?? "", 10);
      if (!(code > 0 && code <= 0x10ffff)) throw new S3Error("MalformedXML");
      return String.fromCodePoint(code);
    },
  );
}

/** Returns the children of one name. */
export function childrenOf(element: XmlElement, name: string): XmlElement[] {
  return element.children.filter((child) => child.name === name);
}

/** Returns the text of the first child of that name. */
export function textOf(element: XmlElement, name: string): string | undefined {
  return element.children.find((child) => child.name === name)?.text;
}
