/**
 * The work of the tasks in a run. A plan is the text of a message. The agent executes the plan, and the check knows its
 * result.
 */
export type Plan = { token: string } & (
  | { kind: 'steps'; steps: number; ms: number }
  | { kind: 'stream'; words: number }
  /** The tool fails this many times before it works. */
  | { kind: 'flaky'; failures: number }
  /** The tool reports a permanent failure. */
  | { kind: 'broken' }
  | { kind: 'ask' }
  | { kind: 'gemini' }
);

export const getArtifactId = (turn: number): string => `result-${turn}`;

/** Returns the text of the artifact that a turn writes; undefined if it writes none, or the model's own. */
export function getExpectedResult(plan: Plan): string | undefined {
  switch (plan.kind) {
    case 'steps':
      return `${plan.token}: ${plan.steps} steps`;
    case 'stream':
      return createWords(plan.token, plan.words).join('');
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

/** The words that a stream writes, each with a space. */
export function createWords(token: string, words: number): string[] {
  return Array.from({ length: words }, (_, index) => `${token}-${index} `);
}
