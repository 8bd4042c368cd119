/** The thread that computes: the same functions as on the server, over the same places. */
import * as places from "../../examples/demo/places.mjs";
import { fromColumns } from "../../examples/playground/columns.mjs";
import type { Call } from "./questions.js";

const scope = self as unknown as {
  postMessage(message: { id: number; value?: unknown; error?: string }): void;
  addEventListener(type: "message", listener: (event: MessageEvent<Call & { id: number }>) => void): void;
};

let loading: Promise<places.Place[]> | undefined;

function loadPlaces(): Promise<places.Place[]> {
  loading ??= fetch("/data/places.json")
    .then(async (response) => {
      if (!response.ok) throw new Error(`The places of the world cannot be loaded: ${response.status}.`);
      return fromColumns((await response.json()) as Parameters<typeof fromColumns>[0]);
    })
    .catch((error: unknown) => {
      loading = undefined;
      throw error;
    });
  return loading;
}

scope.addEventListener("message", async ({ data: { id, name, args } }) => {
  try {
    const ask = places[name] as (all: readonly places.Place[], argument: unknown) => unknown;
    scope.postMessage({ id, value: ask(await loadPlaces(), args[0]) });
  } catch (error) {
    scope.postMessage({ id, error: (error as Error).message });
  }
});

void loadPlaces().catch(() => {});
