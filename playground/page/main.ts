import { startCalls } from "./call.js";
import { drawFigures } from "./call-result.js";
import { warmUp } from "./compute.js";
import { startDialogs } from "./dialogs.js";
import { byId } from "./dom.js";
import { startEntries } from "./entries.js";
import { showFailure } from "./errors.js";
import { startLog } from "./log.js";
import { startNote } from "./note.js";
import { loadInfo } from "./server.js";
import { Session } from "./session.js";
import { startStats } from "./stats.js";
import { startTheme } from "./theme.js";
import { startUploads } from "./uploads.js";

startTheme();
startDialogs();
try {
  const info = await loadInfo();
  byId("place", HTMLElement).textContent =
    `In the bucket ${info.bucket} on ${info.endpoint.replace(/^https?:\/\//, "")}, below ${info.prefix}`;
  const session = new Session(info);
  startLog(session);
  startStats(session);
  startCalls(session);
  startUploads(session);
  startEntries(session);
  startNote(session);
  drawFigures();
  warmUp();
  document.documentElement.dataset["ready"] = "true";
} catch (error) {
  showFailure(byId("failure", HTMLElement), error);
}
