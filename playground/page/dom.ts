/** The few things that the page does to its document. */

/** An element of the page, of the kind that the caller knows it to be. */
export function byId<T extends HTMLElement>(id: string, kind: new () => T): T {
  const element = document.getElementById(id);
  if (!(element instanceof kind)) throw new Error(`The page has no ${kind.name} #${id}`);
  return element;
}

type Attributes = Record<string, string | number | boolean | undefined>;

/** A new element; `undefined` and `false` leave an attribute out. */
export function el<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Attributes = {},
  ...children: (Node | string)[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  setAttributes(element, attributes);
  element.append(...children);
  return element;
}

/** A new element of a drawing. */
export function svg<K extends keyof SVGElementTagNameMap>(
  tag: K,
  attributes: Attributes = {},
  ...children: (Node | string)[]
): SVGElementTagNameMap[K] {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  setAttributes(element, attributes);
  element.append(...children);
  return element;
}

function setAttributes(element: Element, attributes: Attributes): void {
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== undefined && value !== false) element.setAttribute(name, value === true ? "" : String(value));
  }
}

/** A button with its handler. */
export function button(label: string, onClick: () => void, attributes: Attributes = {}): HTMLButtonElement {
  const element = el("button", { type: "button", ...attributes }, label);
  element.addEventListener("click", onClick);
  return element;
}

/** Says something to everyone, screen readers too. */
export function announce(text: string): void {
  byId("status", HTMLElement).textContent = text;
}

const reduced = matchMedia("(prefers-reduced-motion: reduce)");

/** Calls back while something moves: each frame, or four times a second for who wants little motion. */
export function animate(draw: () => void): () => void {
  let isRunning = true;
  let timer = 0;
  // Never at once: the first drawing would delay what it is about.
  const next = (): void => {
    if (reduced.matches) timer = window.setTimeout(tick, 250);
    else requestAnimationFrame(tick);
  };
  const tick = (): void => {
    if (!isRunning) return;
    draw();
    next();
  };
  next();
  return () => {
    isRunning = false;
    clearTimeout(timer);
  };
}
