/** The parts of `npm run chaos -- gemini`. */

export interface PartOptions {
  count: number;
  /** The length of a call. */
  seconds: number;
}

export interface PartResult {
  figures: Record<string, string | number>;
  violations: string[];
}
