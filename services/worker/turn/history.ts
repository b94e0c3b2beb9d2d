/** Shows the stored history of a turn as its agent sees it: the conversation so far, and the task's earlier turns. */
import { HistoryCache } from '#shared/db/turns/history/cache.ts';
import type { TurnHistory } from '#shared/db/turns/input.ts';
import { maxHistoryTurns } from '#shared/db/turns/history/read.ts';
import { FatalError } from '#shared/domain/errors.ts';
import type { EarlierTurn, History, HistoryEntry } from '../agent/agent.ts';
import type { MemoryBudget } from './memory-budget.ts';

/** Creates a cache that has the memory that turns leave free, up to an eighth of the whole. */
export function createHistoryCache(memory: MemoryBudget): HistoryCache {
  const cache = new HistoryCache(() => Math.min(memory.free, memory.maxBytes / 8));
  memory.lendTo(cache);
  return cache;
}

/** @throws {FatalError} if an agent asks for an invalid number of turns */
export function checkHistoryTurns(maxTurns: unknown): void {
  if (Number.isInteger(maxTurns) && Number(maxTurns) >= 0 && Number(maxTurns) <= maxHistoryTurns) return;
  throw new FatalError(
    `readHistory was called with maxTurns ${String(maxTurns)}: use a whole number from 0 to ${maxHistoryTurns}.`,
  );
}

export function toHistory(history: TurnHistory, taskId: string): History {
  return {
    entries: toEntries(history),
    complete: history.complete,
    earlierTurns: toEarlierTurns(history, taskId),
    references: history.references,
  };
}

function toEntries({ exchanges }: TurnHistory): HistoryEntry[] {
  return exchanges.flatMap(({ taskId, turn, message, artifacts, answer }) => {
    const parts = [...artifacts.flatMap((artifact) => artifact.parts), ...(answer?.parts ?? [])];
    const entries: HistoryEntry[] = [{ taskId, turn, role: 'user', parts: message.parts }];
    if (parts.length > 0) entries.push({ taskId, turn, role: 'agent', parts });
    return entries;
  });
}

function toEarlierTurns({ exchanges, steps }: TurnHistory, taskId: string): EarlierTurn[] {
  const byTurn = Map.groupBy(steps, ({ turn }) => turn);
  return exchanges
    .filter((exchange) => exchange.taskId === taskId)
    .map(({ turn, message }) => ({
      number: turn,
      message,
      steps: (byTurn.get(turn) ?? []).map(({ name, occurrence, output }) => ({
        name,
        occurrence,
        result: output,
      })),
    }));
}
