/** Shows the stored history of a turn as its agent sees it: the conversation so far, and the task's earlier turns. */
import { HistoryCache } from '#shared/db/turns/history/cache.ts';
import type { TurnHistory, TurnInput } from '#shared/db/turns/input/input.ts';
import type { TurnSteps } from '#shared/db/turns/history/steps.ts';
import { maxHistoryTurns } from '#shared/db/turns/history/read.ts';
import { FatalError } from '#shared/domain/errors.ts';
import type { Json } from '#shared/domain/message.ts';
import type { Logger } from '#shared/runtime/log.ts';
import type { EarlierSteps, EarlierTurn, History, HistoryEntry } from '../agent/agent.ts';
import type { HeldLease } from './lease-heartbeat.ts';
import type { MemoryBudget } from './memory-budget.ts';
import { retryReadWhileLeased } from './retry-while-leased.ts';

/** Creates a cache that has the memory that turns leave free, up to an eighth of the whole. */
export function createHistoryCache(memory: MemoryBudget): HistoryCache {
  const cache = new HistoryCache(() => Math.min(memory.free, memory.maxBytes / 8));
  memory.lendTo(cache);
  return cache;
}

interface HistoryReaderParts {
  input: TurnInput;
  held: HeldLease;
  releaseSignal: AbortSignal;
  /** Runs a check of what the agent passes; a failure is remembered. */
  check: (checkTurns: (maxTurns: unknown) => void, maxTurns: unknown) => void;
  log: Logger;
}

/** Reads are repeated while the database is unavailable. */
export function createHistoryReader({ input, held, releaseSignal, check, log }: HistoryReaderParts): {
  readHistory: (maxTurns: number) => Promise<History>;
  readSteps: (names: readonly string[], maxTurns: number) => Promise<EarlierSteps[]>;
} {
  const retry = <T>(read: () => Promise<T>): Promise<T> =>
    retryReadWhileLeased(held, log, read, held.signal, releaseSignal);
  return {
    readHistory: async (maxTurns) => {
      check(checkHistoryTurns, maxTurns);
      return toHistory(await retry(() => input.readHistory(maxTurns)), held.lease.taskId);
    },
    readSteps: async (names, maxTurns) => {
      check(checkHistoryTurns, maxTurns);
      return (await retry(() => input.readSteps(names, maxTurns))).map(toEarlierSteps);
    },
  };
}

/** @throws {FatalError} if an agent asks for an invalid number of turns */
function checkHistoryTurns(maxTurns: unknown): void {
  if (Number.isInteger(maxTurns) && Number(maxTurns) >= 0 && Number(maxTurns) <= maxHistoryTurns) return;
  throw new FatalError(
    `The history was read with maxTurns ${String(maxTurns)}: use a whole number from 0 to ${maxHistoryTurns}.`,
  );
}

function toHistory(history: TurnHistory, taskId: string): History {
  return {
    entries: toEntries(history),
    complete: history.complete,
    earlierTurns: toEarlierTurns(history, taskId),
    references: history.references,
  };
}

function toEarlierSteps({ taskId, turn, steps }: TurnSteps): EarlierSteps {
  return {
    taskId,
    turn,
    steps: steps.map(({ name, occurrence, output }) => ({ name, occurrence, result: output as Json })),
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
        result: output as Json,
      })),
    }));
}
