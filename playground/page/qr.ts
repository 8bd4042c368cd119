/** QR codes, as drawings that scale. */
import { encode } from "uqr";
import { svg } from "./dom.js";

/** Undefined when the text is longer than any code can hold (2,953 bytes). */
export function drawQr(text: string, label: string): SVGElement | undefined {
  let code: ReturnType<typeof encode>;
  try {
    code = encode(text, { ecc: "L", border: 3 });
  } catch {
    return undefined;
  }
  const { size, data } = code;
  let path = "";
  data.forEach((row, y) => row.forEach((isDark, x) => (path += isDark ? `M${x} ${y}h1v1h-1z` : "")));
  // Always dark on light: many readers know nothing else.
  return svg(
    "svg",
    { viewBox: `0 0 ${size} ${size}`, role: "img", "aria-label": label, "shape-rendering": "crispEdges" },
    svg("rect", { width: size, height: size, fill: "#fff" }),
    svg("path", { d: path, fill: "#000" }),
  );
}
