/** Shows values to people: text, JSON, pictures, sound, and the first bytes of all else. */
import { el } from "./dom.js";
import { formatBytes } from "./format.js";

const TEXT_SHOWN = 20_000;
const BYTES_SHOWN = 256;

/** The element for a value; `release` gives back what it holds. */
export interface Content {
  element: HTMLElement;
  release: () => void;
}

export function showValue(value: unknown, contentType: string): Content {
  if (value instanceof Uint8Array) return showBytes(value as Uint8Array<ArrayBuffer>, contentType);
  return showText(typeof value === "string" ? value : toJson(value));
}

export function showBytes(bytes: Uint8Array<ArrayBuffer>, contentType: string, isWhole = true): Content {
  const kind = contentType.split("/")[0];
  if (isWhole && (kind === "image" || kind === "audio" || kind === "video")) {
    const url = URL.createObjectURL(new Blob([bytes], { type: contentType }));
    const element =
      kind === "image"
        ? el("img", { src: url, alt: "The stored picture" })
        : el(kind, { src: url, controls: true, "aria-label": "The stored recording" });
    return { element, release: () => URL.revokeObjectURL(url) };
  }
  const text = textOf(bytes, contentType);
  if (text !== undefined) return showText(text, !isWhole);
  return plain(
    `${hexDump(bytes.subarray(0, BYTES_SHOWN))}${bytes.byteLength > BYTES_SHOWN ? `\n… ${formatBytes(bytes.byteLength)} in all` : ""}`,
  );
}

function textOf(bytes: Uint8Array, contentType: string): string | undefined {
  if (!/^text\/|json|xml|javascript|csv/.test(contentType)) return undefined;
  return new TextDecoder().decode(bytes);
}

function showText(text: string, isMore = false): Content {
  const shown = text.slice(0, TEXT_SHOWN);
  return plain(shown.length < text.length || isMore ? `${shown}\n… and more` : shown);
}

function plain(text: string): Content {
  return {
    element: el("pre", { tabindex: 0, "aria-label": "The content" }, text === "" ? "(empty)" : text),
    release: () => {},
  };
}

/** JSON that also names what JSON has no word for. */
function toJson(value: unknown): string {
  const text = JSON.stringify(
    value,
    (_, each: unknown) => {
      if (each instanceof Map) return { Map: [...each] };
      if (each instanceof Set) return { Set: [...each] };
      if (typeof each === "bigint") return `${each}n`;
      if (each instanceof Uint8Array) return { bytes: each.byteLength };
      return each;
    },
    2,
  ) as string | undefined;
  return text ?? String(value);
}

function hexDump(bytes: Uint8Array): string {
  const lines: string[] = [];
  for (let at = 0; at < bytes.length; at += 16) {
    const line = [...bytes.subarray(at, at + 16)];
    const hex = line.map((byte) => byte.toString(16).padStart(2, "0")).join(" ");
    const text = line.map((byte) => (byte > 31 && byte < 127 ? String.fromCharCode(byte) : ".")).join("");
    lines.push(`${at.toString(16).padStart(4, "0")}  ${hex.padEnd(48)} ${text}`);
  }
  return lines.join("\n");
}
