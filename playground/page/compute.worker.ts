/** The thread that computes: the same functions as on the server, over the same places. */
import { countryReport, densestRegions, neighbours, roundTrip, type Place } from "../../examples/demo/places.mjs";
import { fromColumns } from "../../examples/playground/columns.mjs";
import type { Call } from "./questions.js";

const scope = self as unknown as {
  postMessage(message: { id: number; value?: unknown; error?: string }): void;
  addEventListener(type: "message", listener: (event: MessageEvent<Call & { id: number }>) => void): void;
};

type Ask = (places: readonly Place[], argument: never) => unknown;
const QUESTIONS: Record<Call["name"], Ask> = { countryReport, densestRegions, neighbours, roundTrip };

let loading: Promise<Place[]> | undefined;

function loadPlaces(): Promise<Place[]> {
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
    scope.postMessage({ id, value: QUESTIONS[name](await loadPlaces(), args[0] as never) });
  } catch (error) {
    scope.postMessage({ id, error: (error as Error).message });
  }
});

void loadPlaces().catch(() => {});
