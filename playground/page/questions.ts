/** The expensive functions, as the visitor chooses them. */
import { RADII_KM, MOST_PLACES, type QuestionName } from "../../examples/playground/questions.mjs";

export type { QuestionName };

export interface Call {
  name: QuestionName;
  args: [unknown];
}

interface Question {
  title: string;
  /** The kind of argument that the visitor chooses. */
  choice: "country" | "radius";
  preset: string;
  args(choice: string): [unknown];
}

export const QUESTIONS: Record<QuestionName, Question> = {
  neighbours: {
    title: "The 5 nearest places to each place of a country",
    choice: "country",
    preset: "PT",
    args: (country) => [{ country, count: 5 }],
  },
  countryReport: {
    title: "A report on a country, with its shortest network",
    choice: "country",
    preset: "ES",
    args: (country) => [country],
  },
  roundTrip: {
    title: "A round trip through every place of a country",
    choice: "country",
    preset: "NL",
    args: (country) => [country],
  },
  densestRegions: {
    title: "The 1,000 densest regions of the world",
    choice: "radius",
    preset: "100",
    args: (radius) => [{ radiusKm: Number(radius), count: 1_000 }],
  },
};

export interface Choice {
  value: string;
  label: string;
}

/** Returns the arguments that the visitor may choose for a question. */
export function choicesOf(name: QuestionName, countries: Record<string, number>): Choice[] {
  if (QUESTIONS[name].choice === "radius") {
    return RADII_KM.map((radius) => ({ value: String(radius), label: `within ${radius} km` }));
  }
  const names = new Intl.DisplayNames("en", { type: "region" });
  return Object.entries(countries)
    .filter(([, places]) => places >= 20 && places <= MOST_PLACES[name])
    .map(([value, places]) => ({
      value,
      label: `${names.of(value) ?? value} (${places.toLocaleString("en")} places)`,
    }))
    .sort((a, b) => a.label.localeCompare(b.label, "en"));
}
