/** Shows the stored input of a turn as its agent sees it: the conversation so far, and the task's earlier turns. */
import type { TurnInput } from '#shared/db/turns/input.ts';
import type { EarlierTurn, HistoryEntry } from '../agent/agent.ts';

export function toHistory(input: TurnInput): HistoryEntry[] {
  return input.earlier.flatMap(({ taskId, turn, message, artifacts, answer }) => {
    const parts = [...artifacts.flatMap((artifact) => artifact.parts), ...(answer?.parts ?? [])];
    const entries: HistoryEntry[] = [{ taskId, turn, role: 'user', parts: message.parts }];
    if (parts.length > 0) entries.push({ taskId, turn, role: 'agent', parts });
    return entries;
  });
}

export function toEarlierTurns({ earlier, earlierSteps }: TurnInput, taskId: string): EarlierTurn[] {
  const steps = Map.groupBy(earlierSteps, ({ turn }) => turn);
  return earlier
    .filter((exchange) => exchange.taskId === taskId)
    .map(({ turn, message }) => ({
      number: turn,
      message,
      steps: (steps.get(turn) ?? []).map(({ name, occurrence, output }) => ({
        name,
        occurrence,
        result: output,
      })),
    }));
}
