// The guides of docs/ in the site: typedoc names a document by its file. Here its first heading is its name, and the file
// stays its address.
import { Converter, KindRouter } from "typedoc";

/** @param {import("typedoc").Application} app */
export function load(app) {
  const files = new Map();

  app.converter.on(Converter.EVENT_CREATE_DOCUMENT, (_context, document) => {
    files.set(document, document.name);
    document.name = heading(document.content, `docs/${document.name}.md`)[1];
  });

  // The theme puts the project's name above it.
  app.converter.on(Converter.EVENT_RESOLVE_END, ({ project }) => {
    const [title] = heading(project.readme, "README.md");
    project.readme[0].text = project.readme[0].text.slice(title.length);
  });

  class GuideRouter extends KindRouter {
    getIdealBaseName(reflection) {
      const file = files.get(reflection);
      return file === undefined ? super.getIdealBaseName(reflection) : `guides/${file}`;
    }
  }
  app.renderer.defineRouter("guides", GuideRouter);
}

function heading(content, file) {
  const first = content?.[0];
  const found = first?.kind === "text" ? /^# (.*)\n+/.exec(first.text) : null;
  if (found === null) throw new Error(`${file} does not begin with a heading`);
  return found;
}
