/** Light, dark, or as the system has it. */
import { byId } from "./dom.js";

const THEMES = ["system", "light", "dark"] as const;
const STORAGE_KEY = "theme";

const toggle = byId("theme", HTMLButtonElement);
let current = THEMES.find((theme) => theme === remembered()) ?? "system";

export function startTheme(): void {
  apply();
  toggle.addEventListener("click", () => {
    current = THEMES[(THEMES.indexOf(current) + 1) % THEMES.length] ?? "system";
    try {
      localStorage.setItem(STORAGE_KEY, current);
    } catch {
      // Where nothing may be stored it holds for this page.
    }
    apply();
  });
}

function remembered(): string | null {
  try {
    return localStorage.getItem(STORAGE_KEY);
  } catch {
    return null;
  }
}

function apply(): void {
  if (current === "system") delete document.documentElement.dataset["theme"];
  else document.documentElement.dataset["theme"] = current;
  toggle.textContent = `Theme: ${current}`;
}
