// The direction of imports in src, as a lint rule. A folder is a layer, and may import those named here. Files beside the
// folders are the words that all share, and the entry points. Static and dynamic imports, re-exports and types in
// import() count alike.
const VOCABULARY = new Set(["types", "object-store", "errors", "protocol"]);
/** The stores that users name. What else lies beside them, and in s3 and file, is what they are made of. */
const STORES = new Set(["stores/s3", "stores/presigned", "stores/file", "stores/memory"]);

const MAY = {
  base: ["base"],
  key: ["base", "key"],
  entry: ["base", "key", "entry"],
  http: ["base", "key", "entry", "http"],
  parts: ["base", "key", "entry", "http", "parts", "aws"],
  stores: ["base", "key", "entry", "http", "parts", "aws"],
  cache: ["base", "key", "entry", "cache", "engine"],
  engine: ["base", "key", "entry", "cache", "engine"],
  handler: ["base", "key", "entry", "http", "handler"],
  testing: ["base", "key", "entry", "testing"],
  index: ["base", "key", "cache"],
  dev: ["base", "key", "entry", "http", "parts", "stores", "dev", "node"],
};

/** The layer of a file named relative to src, without its extension. */
function layerOf(file) {
  if (VOCABULARY.has(file)) return "base";
  const [folder] = file.split("/", 1);
  if (folder === "s3" || folder === "file" || (folder === "stores" && !STORES.has(file))) return "parts";
  return folder;
}

/** Why `file` (relative to src) may not import `specifier` in this way, or undefined when it may. */
function objection(file, specifier, kind) {
  const own = file.replace(/\.ts$/, "");
  const layer = layerOf(own);
  const may = MAY[layer] ?? [];
  if (specifier.startsWith("node:")) {
    if (may.includes("node") || own === "stores/file" || own.startsWith("file/")) return undefined;
    return "only dev and the file store import node:*; elsewhere use nodeBuiltin() of runtime.ts";
  }
  if (specifier.startsWith("@aws-sdk/") || specifier.startsWith("@smithy/")) {
    if (!may.includes("aws")) return `the AWS SDK is for stores, not for ${layer}`;
    return kind === "value" ? "the AWS SDK is an optional peer: import() it when needed, or import type" : undefined;
  }
  if (!specifier.startsWith(".")) return undefined;
  const target = new URL(specifier, `file:///${own}`).pathname.slice(1).replace(/\.js$/, "");
  const other = layerOf(target);
  if (other === "index") return "nothing imports index.ts";
  if (other === "stores" && layer === "stores") return "stores never import each other";
  if (layer === "cache" && other === "engine" && kind === "value") {
    return "a page starts without the engine: import() it when needed, or import type";
  }
  if (!may.includes(other)) return `${layer} imports only ${may.join(", ")}, and ${target} is ${other}`;
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
