// The direction of imports in src, as a lint rule:
//   cli -> handler, dev, stores, cache -> key, entry, codec, request -> leaves
// Stores never import each other or the cache, the handler no store; nothing imports index.ts; node:* only in cli, dev
// and the file store. Static and dynamic imports, re-exports and types in import() count alike.

const LEAVES = new Set(
  "types object-store errors duration runtime bytes clock xml internals brands plain md5 abort body lazy".split(" "),
);
/** What stands between the leaves, and the cache and the stores that are built on it. */
const PLUMBING = new Set(
  "key tagged entry codec decode revive gzip zlib protocol request perform operations download multipart pool send refusal retry".split(
    " ",
  ),
);
/** The stores that users name. What else lies beside them, and in s3, is what they are made of. */
const STORES = new Set(["stores/s3", "stores/presigned", "stores/file", "stores/memory"]);

// What each layer may import.
const MAY = {
  leaf: ["leaf"],
  plumbing: ["leaf", "plumbing"],
  shared: ["leaf", "plumbing", "shared", "aws"],
  store: ["leaf", "plumbing", "shared", "aws"],
  cache: ["leaf", "plumbing", "cache"],
  handler: ["leaf", "plumbing", "handler"],
  testing: ["leaf", "plumbing", "testing"],
  index: ["leaf", "plumbing", "cache"],
  dev: ["leaf", "plumbing", "shared", "store", "dev", "node"],
  cli: ["leaf", "plumbing", "shared", "store", "cache", "handler", "dev", "cli", "node", "aws"],
};

/** The layer of a file named relative to src, without its extension. */
function layerOf(file) {
  if (file.startsWith("cli/") || file.startsWith("dev/")) return file.slice(0, 3);
  if (file.startsWith("stores/")) return STORES.has(file) ? "store" : "shared";
  if (/^(s3|file|presigned)\//.test(file)) return "shared";
  if (/^(testing|handler)\//.test(file)) return file.split("/", 1)[0];
  if (LEAVES.has(file)) return "leaf";
  if (PLUMBING.has(file)) return "plumbing";
  // All else is part of the cache, and so out of reach for stores: a new piece of plumbing is to be named above.
  return file === "index" || file === "handler" || file === "testing" ? file : "cache";
}

/** Why `file` (relative to src) may not import `specifier` in this way, or undefined when it may. */
function objection(file, specifier, kind) {
  const own = file.replace(/\.ts$/, "");
  const layer = layerOf(own);
  if (specifier.startsWith("node:")) {
    if (MAY[layer].includes("node") || own === "stores/file" || own.startsWith("file/")) return undefined;
    return "only cli, dev and the file store import node:*; elsewhere use nodeBuiltin() of runtime.ts";
  }
  if (specifier.startsWith("@aws-sdk/") || specifier.startsWith("@smithy/")) {
    if (!MAY[layer].includes("aws")) return `the AWS SDK is for stores and cli, not for ${layer}`;
    return kind === "value" ? "the AWS SDK is an optional peer: import() it when needed, or import type" : undefined;
  }
  if (!specifier.startsWith(".")) return undefined;
  const target = new URL(specifier, `file:///${own}`).pathname.slice(1).replace(/\.js$/, "");
  const other = layerOf(target);
  if (other === "index") return "nothing imports index.ts";
  if (other === "store" && layer === "store") return "stores never import each other";
  if (!MAY[layer].includes(other)) return `${layer} imports only ${MAY[layer].join(", ")}, and ${target} is ${other}`;
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
