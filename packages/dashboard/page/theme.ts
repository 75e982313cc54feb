import { Observable } from "./data/observable.ts";

export type ThemeChoice = "auto" | "light" | "dark";

const key = "downpour-theme";
const dark = matchMedia("(prefers-color-scheme: dark)");

/** Light or dark, by the system or by choice. */
class Theme extends Observable {
  choice: ThemeChoice;

  constructor() {
    super();
    const stored = localStorage.getItem(key);
    this.choice = stored === "light" || stored === "dark" ? stored : "auto";
    this.#apply();
    dark.addEventListener("change", () => this.#apply());
  }

  set(choice: ThemeChoice): void {
    this.choice = choice;
    localStorage.setItem(key, choice);
    this.#apply();
  }

  get isDark(): boolean {
    return this.choice === "auto" ? dark.matches : this.choice === "dark";
  }

  #apply(): void {
    document.documentElement.setAttribute("data-theme", this.isDark ? "dark" : "light");
    this.changed();
  }
}

export const theme = new Theme();

/** A colour of the style sheet, such as "accent". */
export function colour(name: string): string {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

/** Colours of runs and workers, told apart by people who see fewer of them too (Okabe and Ito 2008, adapted). */
export const seriesColours = [
  "series-1",
  "series-2",
  "series-3",
  "series-4",
  "series-5",
  "series-6",
  "series-7",
];

export function seriesColour(index: number): string {
  return colour(seriesColours[index % seriesColours.length] ?? "series-1");
}
