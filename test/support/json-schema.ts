type Schema = Record<string, unknown>;

/**
 * Lists the parts of a value that do not fit a JSON schema. It knows as much of draft 2020-12 as our own schema uses
 * and throws on any other keyword, so that nothing goes unchecked.
 */
export function misfits(root: Schema, schema: Schema, value: unknown, path = "$"): string[] {
  const found: string[] = [];
  const say = (ok: boolean, what: string) => {
    if (!ok) found.push(`${path}: ${what}`);
  };
  const descend = (inner: unknown, each: unknown, name: string) =>
    found.push(...misfits(root, inner as Schema, each, `${path}.${name}`));
  const object = typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Schema) : undefined;
  for (const [keyword, expected] of Object.entries(schema)) {
    switch (keyword) {
      case "$schema":
      case "$defs":
      case "title":
      case "description":
      case "additionalProperties":
        break;
      case "$ref": {
        const name = (expected as string).replace("#/$defs/", "");
        found.push(...misfits(root, (root["$defs"] as Schema)[name] as Schema, value, path));
        break;
      }
      case "type":
        say(
          typeOf(value) === expected || (expected === "number" && typeOf(value) === "integer"),
          `not ${expected as string}`,
        );
        break;
      case "const":
        say(value === expected, `not ${JSON.stringify(expected)}`);
        break;
      case "enum":
        say((expected as unknown[]).includes(value), `not one of ${JSON.stringify(expected)}`);
        break;
      case "pattern":
        if (typeof value === "string")
          say(new RegExp(expected as string, "u").test(value), `not ${expected as string}`);
        break;
      case "maxLength":
        if (typeof value === "string") say([...value].length <= (expected as number), "too long");
        break;
      case "minimum":
        if (typeof value === "number") say(value >= (expected as number), "too small");
        break;
      case "maximum":
        if (typeof value === "number") say(value <= (expected as number), "too large");
        break;
      case "exclusiveMinimum":
        if (typeof value === "number") say(value > (expected as number), "too small");
        break;
      case "exclusiveMaximum":
        if (typeof value === "number") say(value < (expected as number), "too large");
        break;
      case "minItems":
        if (Array.isArray(value)) say(value.length >= (expected as number), "too few");
        break;
      case "items":
        if (Array.isArray(value)) value.forEach((each, index) => descend(expected, each, String(index)));
        break;
      case "required":
        for (const name of expected as string[]) if (object !== undefined) say(name in object, `no ${name}`);
        break;
      case "properties":
        for (const [name, inner] of Object.entries(expected as Schema)) {
          if (object !== undefined && name in object) descend(inner, object[name], name);
        }
        break;
      case "oneOf": {
        const fits = (expected as Schema[]).filter((each) => misfits(root, each, value, path).length === 0);
        say(fits.length === 1, `fits ${fits.length} of ${(expected as Schema[]).length} alternatives`);
        break;
      }
      default:
        throw new Error(`the schema uses ${keyword}, which this does not check`);
    }
  }
  const rest = schema["additionalProperties"];
  for (const [name, each] of Object.entries(object ?? {})) {
    if (rest === undefined || name in ((schema["properties"] ?? {}) as Schema)) continue;
    if (rest === false) say(false, `has ${name}`);
    else descend(rest, each, name);
  }
  return found;
}

function typeOf(value: unknown): string {
  if (Array.isArray(value)) return "array";
  if (value === null) return "null";
  return Number.isInteger(value) ? "integer" : typeof value;
}
