// Browsers.
import { start } from "../suite/index.js";

await start(new URLSearchParams(location.search).get("url") as string);
