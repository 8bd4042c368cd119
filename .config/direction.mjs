// The direction of imports in src, as a lint rule. A folder is a subject, and imports only the folders named here and the
// public words: the files beside the folders. Static and dynamic imports, re-exports and types in import() count alike.
const WORDS = ["types", "object-store", "errors"];

const MAY_IMPORT = {
  base: [],
  data: ["base"],
  entry: ["base", "data"],
  cache: ["base", "data", "entry"],
  s3: ["base", "data", "entry"],
  aws: ["base", "data", "s3"],
  presigned: ["base", "data", "entry", "s3"],
  local: ["base", "data"],
  stores: ["base", "data", "entry", "s3", "aws", "presigned", "local"],
  handler: ["base", "data", "entry", "s3", "presigned"],
  testing: ["base", "data", "entry"],
  index: ["base", "data", "cache"],
  dev: [],
};

/** Folders whose files may import Node's modules; all others use nodeBuiltin() of base/runtime.ts. */
const RUNS_ON_NODE = ["dev", "local"];

/** Says why `file` (relative to src) may not import `specifier` in this way, or returns undefined when it may. */
function objection(file, specifier, kind) {
  const [folder] = file.replace(/\.ts$/, "").split("/", 1);
  if (specifier.startsWith("node:")) {
    return RUNS_ON_NODE.includes(folder)
      ? undefined
      : `only ${RUNS_ON_NODE.join(", ")} import node:*; elsewhere use nodeBuiltin() of base/runtime.ts`;
  }
  if (specifier.startsWith("@aws-sdk/") || specifier.startsWith("@smithy/")) {
    if (folder !== "aws") return `the AWS SDK is for aws, not for ${folder}`;
    return kind === "value" ? "the AWS SDK is an optional peer: import() it when needed, or import type" : undefined;
  }
  if (!specifier.startsWith(".")) return undefined;
  const target = new URL(specifier, `file:///${file}`).pathname.slice(1).replace(/\.js$/, "");
  const [other] = target.split("/", 1);
  if (other === "index") return "nothing imports index.ts";
  if (other === "stores" && folder === "stores") return "stores never import each other";
  if (!WORDS.includes(folder) && !(folder in MAY_IMPORT)) return `.config/direction.mjs knows no folder ${folder}`;
  if (other === folder || (WORDS.includes(other) && folder !== "dev") || other === "errors") return undefined;
  if (WORDS.includes(folder) && WORDS.includes(other)) return undefined;
  const may = MAY_IMPORT[folder] ?? [];
  if (!may.includes(other)) return `${folder} imports only ${may.join(", ") || "errors"}, and ${target} is ${other}`;
  return undefined;
}

const rule = {
  meta: { type: "problem", docs: { description: "Keep the direction of imports in src" } },
  create(context) {
    const path = context.filename.replaceAll("\\", "/");
    const at = path.lastIndexOf("/src/");
    if (at === -1) return {};
    const file = path.slice(at + "/src/".length);
    function check(node, source, kind) {
      if (typeof source?.value !== "string") return;
      const message = objection(file, source.value, kind);
      if (message !== undefined) context.report({ node, message });
    }
    const kindOf = (kind) => (kind === "type" ? "type" : "value");
    return {
      ImportDeclaration: (node) => check(node, node.source, kindOf(node.importKind)),
      ExportNamedDeclaration: (node) => check(node, node.source, kindOf(node.exportKind)),
      ExportAllDeclaration: (node) => check(node, node.source, kindOf(node.exportKind)),
      ImportExpression: (node) => check(node, node.source, "dynamic"),
      TSImportType: (node) => check(node, node.source ?? node.argument?.literal ?? node.argument, "type"),
    };
  },
};

export default { meta: { name: "bucketcache" }, rules: { direction: rule } };
