import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { child, childText, parseXml, type XmlElement } from "../src/s3/xml.js";
import { escapeXml } from "../src/s3/xml-text.js";

// Text of characters that XML 1.0 allows.
const text = fc
  .string({ unit: "grapheme" })
  .filter((value) => !/[^\t\n\r\x20-\ud7ff\ue000-\ufffd\u{10000}-\u{10ffff}]/u.test(value));

test("what is escaped is read back, whatever it is", () => {
  fc.assert(
    fc.property(text, (value) => {
      const root = parseXml(`<?xml version="1.0"?>\n<R xmlns="u"><K>${escapeXml(value)}</K><E/></R>`);
      expect(childText(root, "K")).toBe(value);
      expect(child(root, "E")?.text).toBe("");
      expect(childText(root, "absent")).toBe("");
    }),
  );
});

test("a document that is cut off anywhere is an error, never a shorter list", () => {
  const whole = `<List><Item a="1"><Key>a&amp;b</Key></Item><Item><Key>c</Key></Item></List>`;
  expect(parseXml(whole).children).toHaveLength(2);
  for (let end = 0; end < whole.length; end++) expect(() => parseXml(whole.slice(0, end))).toThrow();
});

test("whatever arrives is read or refused, and takes no time", () => {
  const piece = fc.constantFrom(
    "<",
    ">",
    "</",
    "/>",
    "a",
    "b",
    "<a>",
    "</a>",
    "<!DOCTYPE a>",
    "<![CDATA[",
    "]]>",
    "&",
    "&amp;",
    '"',
    " ",
    "=",
    "<!--",
    "-->",
    "<?",
    "?>",
  );
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 60 }), (pieces) => {
      let root: XmlElement | undefined;
      try {
        root = parseXml(pieces.join(""));
      } catch (error) {
        expect((error as Error).message).toMatch(/^XML: /);
      }
      if (root !== undefined) expect(root.name).toMatch(/^[ab]+$/);
    }),
  );
});

describe.each([
  ["a document type, which could define entities", '<!DOCTYPE a [<!ENTITY x "y">]><a>&x;</a>'],
  ["an entity of nobody's", "<a>&nbsp;</a>"],
  ["an entity without an end", "<a>&amp</a>"],
  ["tags that cross", "<a><b></a></b>"],
  ["two documents", "<a/><b/>"],
  ["text beside the document", "<a/>x"],
  ["an attribute without quotes", "<a b=c></a>"],
  ["a thousand levels", "<a>".repeat(1_000) + "</a>".repeat(1_000)],
  ["a character beyond Unicode", "<a>&#x110000;</a>"],
])("%s", (_, xml) => {
  test("is refused", () => {
    expect(() => parseXml(xml)).toThrow(/^XML: /);
  });
});
