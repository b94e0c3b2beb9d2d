/** What the tasks of a run ask for. A plan is the text of a message; the agent does it, and the check knows its result. */
export type Plan = { token: string } & (
  | { kind: 'steps'; steps: number; ms: number }
  | { kind: 'stream'; words: number }
  /** The tool answers with an error so many times before it works. */
  | { kind: 'flaky'; failures: number }
  /** The tool says that it never will. */
  | { kind: 'broken' }
  | { kind: 'ask' }
  | { kind: 'gemini' }
);

export const resultArtifact = (turn: number): string => `result-${turn}`;

/** The text of the artifact that a turn leaves; undefined: none, or the model's own. */
export function resultOf(plan: Plan): string | undefined {
  switch (plan.kind) {
    case 'steps':
      return `${plan.token}: ${plan.steps} steps`;
    case 'stream':
      return streamedWords(plan.token, plan.words).join('');
    case 'flaky':
      return `${plan.token}: at last`;
    case 'broken':
    case 'ask':
    case 'gemini':
      return undefined;
    default:
      return plan satisfies never;
  }
}

export function streamedWords(token: string, words: number): string[] {
  return Array.from({ length: words }, (_, index) => `${token}-${index} `);
}
