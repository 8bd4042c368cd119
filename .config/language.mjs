// The language of comments in src, as a lint rule: no sentence begins with What, Who or Of. Such a sentence has a clause for
// its subject where a noun exists, and has to be read twice.
const BEGINNING = /^(?:What|Whatever|Who|Whoever|Whose|Of)\b(?!')/;

/** Yields each sentence of a comment, without what is code. */
function* sentences(text) {
  const prose = text
    .replace(/^[^\S\n]*\* ?/gm, "")
    .replace(/^```[^]*?^```/gm, "\n\n")
    .replace(/`[^`\n]*`/g, (code) => "`" + "-".repeat(code.length - 2) + "`");
  for (const block of prose.split(/\n\s*\n|^\s*(?:@\w+(?:[^\S\n]+\{[^}]*\})?|[-*]|\d+\.)(?=\s)/m)) {
    for (const sentence of block.split(/(?<=[.!?:;]["')]?)\s+/)) yield sentence.trim();
  }
}

/** Joins line comments that continue each other: a comment of several lines is one text. */
function texts(comments) {
  const found = [];
  for (const comment of comments) {
    const before = found.at(-1);
    const continues =
      comment.type === "Line" &&
      before?.type === "Line" &&
      comment.loc.start.line === before.endLine + 1 &&
      comment.loc.start.column === before.column;
    if (continues) {
      before.text += `\n${comment.value}`;
      before.endLine = comment.loc.end.line;
    } else {
      found.push({
        type: comment.type,
        text: comment.value,
        node: comment,
        endLine: comment.loc.end.line,
        column: comment.loc.start.column,
      });
    }
  }
  return found;
}

const rule = {
  meta: { type: "problem", docs: { description: "Begin no sentence of a comment with What, Who or Of" } },
  create(context) {
    return {
      Program() {
        for (const { text, node } of texts(context.sourceCode.getAllComments())) {
          for (const sentence of sentences(text)) {
            const word = BEGINNING.exec(sentence)?.[0];
            if (word === undefined) continue;
            const shown = sentence.replace(/\s+/g, " ").slice(0, 60);
            context.report({
              node,
              message: `a sentence begins with "${word}": name its subject by a noun, or begin with a verb ("${shown}")`,
            });
          }
        }
      },
    };
  },
};

export default { meta: { name: "language" }, rules: { sentences: rule } };
