import { environment, nodeBuiltin } from "../base/runtime.js";

interface Files {
  readFileSync(path: string, encoding: "utf8"): string;
}

/**
 * The region that AWS's shared files name for the profile in use (`AWS_PROFILE`, else `default`), where there are files.
 * As the SDK has it, the credentials file wins over the config file; `AWS_SHARED_CREDENTIALS_FILE` and
 * `AWS_CONFIG_FILE` say where they are, else they are below `~/.aws`.
 * https://docs.aws.amazon.com/sdkref/latest/guide/file-format.html
 */
export function profileRegion(): string | undefined {
  const profile = environment("AWS_PROFILE") ?? "default";
  return (
    regionOf(environment("AWS_SHARED_CREDENTIALS_FILE") ?? inHome("credentials"), [profile]) ??
    regionOf(
      environment("AWS_CONFIG_FILE") ?? inHome("config"),
      profile === "default" ? [profile, "profile default"] : [`profile ${profile}`],
    )
  );
}

function inHome(name: string): string | undefined {
  const home = nodeBuiltin<{ homedir(): string }>("node:os")?.homedir();
  return home === undefined ? undefined : `${home}/.aws/${name}`;
}

function regionOf(path: string | undefined, sections: readonly string[]): string | undefined {
  let text: string | undefined;
  try {
    if (path !== undefined) text = nodeBuiltin<Files>("node:fs")?.readFileSync(path, "utf8");
  } catch {
    // Most machines have no such file.
  }
  let isOurs = false;
  let region: string | undefined;
  for (const line of text?.split(/\r?\n/) ?? []) {
    const section = /^\[\s*([^\]]*?)\s*\]/.exec(line)?.[1];
    if (section !== undefined) isOurs = sections.includes(section.replace(/^(profile)\s+(["']?)(.*)\2$/, "$1 $3"));
    // What is indented belongs to the setting above it.
    else if (isOurs) region = /^region\s*=\s*([^\s#;]+)/.exec(line)?.[1] ?? region;
  }
  return region;
}
