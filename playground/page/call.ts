/** The first section: call an expensive function, here or on the server, and watch. */
import { showCalled, showServerCall, showWhileRunning } from "./call-result.js";
import { stop as stopComputing } from "./compute.js";
import { byId, el } from "./dom.js";
import { showFailure } from "./errors.js";
import { choicesOf, QUESTIONS, type Call, type QuestionName } from "./questions.js";
import { callOnServer, restartServer } from "./server.js";
import type { Session } from "./session.js";
import { watchKey } from "./trace.js";

const form = byId("call-form", HTMLFormElement);
const question = form.elements.namedItem("question") as HTMLSelectElement;
const choice = form.elements.namedItem("choice") as HTMLSelectElement;
const failure = byId("call-failure", HTMLElement);
const stopButton = byId("call-stop", HTMLButtonElement);

export function startCalls(session: Session): void {
  for (const [value, { title }] of Object.entries(QUESTIONS)) question.append(el("option", { value }, title));
  question.addEventListener("change", () => fillChoices(session));
  fillChoices(session);

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    void during(() => callHere(session, chosen(), (ask, argument) => ask(argument)));
  });
  onClick("call-many", () =>
    callHere(session, chosen(), async (ask, argument) => {
      const answers = await Promise.all(Array.from({ length: 100 }, () => ask(argument)));
      return answers[0];
    }),
  );
  onClick("refresh", () => callHere(session, chosen(), (ask, argument) => ask.refresh(argument)));
  onClick("call-server", () => callThere(chosen()));
  onClick("invalidate", async () => {
    const { name, args } = chosen();
    await session.question(name).invalidate(args[0]);
  });
  onClick("restart", () => restartServer());
  onClick("forget", () => session.forgetMemory());
}

let aborting: AbortController | undefined;

type Ask = ReturnType<Session["question"]>;

async function callHere(
  session: Session,
  { name, args }: Call,
  call: (ask: Ask, argument: unknown) => Promise<unknown>,
): Promise<void> {
  const controller = new AbortController();
  aborting = controller;
  const ask = session.question(name).with({ signal: controller.signal });
  const watch = watchKey(session, ask.keyOf(args[0]));
  const settle = showWhileRunning(watch);
  try {
    const answer = await call(ask, args[0]);
    watch.end();
    showCalled(watch, answer);
  } finally {
    watch.end();
    settle();
    aborting = undefined;
  }
}

async function callThere(call: Call): Promise<void> {
  const startedAt = performance.now();
  const answer = await callOnServer(call);
  showServerCall(answer, performance.now() - startedAt);
}

stopButton.addEventListener("click", () => {
  const reason = new DOMException("Stopped.", "AbortError");
  aborting?.abort(reason);
  stopComputing(reason);
});

function onClick(id: string, action: () => unknown): void {
  byId(id, HTMLButtonElement).addEventListener("click", () => void during(action));
}

/** One thing at a time, so that the picture stays clear. Meanwhile the buttons say that they do nothing. */
async function during(action: () => unknown): Promise<void> {
  if (form.hasAttribute("aria-busy")) return;
  setBusy(true);
  showFailure(failure, undefined);
  // Not for what takes no time.
  const timer = setTimeout(() => (stopButton.hidden = aborting === undefined), 150);
  try {
    await action();
  } catch (error) {
    showFailure(failure, error);
  } finally {
    clearTimeout(timer);
    if (document.activeElement === stopButton) form.querySelector<HTMLElement>("[type=submit]")?.focus();
    stopButton.hidden = true;
    setBusy(false);
    form.dataset["turns"] = String(Number(form.dataset["turns"] ?? 0) + 1);
  }
}

/** Not by `disabled`, which would take the focus from who has just pressed a button. */
function setBusy(isBusy: boolean): void {
  for (const each of [form, ...form.querySelectorAll("button")]) {
    if (each === stopButton) continue;
    const name = each === form ? "aria-busy" : "aria-disabled";
    if (isBusy) each.setAttribute(name, "true");
    else each.removeAttribute(name);
  }
}

function fillChoices(session: Session): void {
  const { choice: kind, preset } = QUESTIONS[question.value as QuestionName];
  byId("choice-label", HTMLElement).textContent = kind === "country" ? "Country" : "Places";
  const choices = choicesOf(question.value as QuestionName, session.info.countries);
  choice.replaceChildren(...choices.map(({ value, label }) => el("option", { value }, label)));
  choice.value = preset;
}

function chosen(): Call {
  const name = question.value as QuestionName;
  return { name, args: QUESTIONS[name].args(choice.value) };
}
