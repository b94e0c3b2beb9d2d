/**
 * The input of a turn: what the claim has read, or what is read now if it was too much for the claim. The agent's
 * definition is read once for each process.
 */
import type { JsonObject } from '../../domain/message.ts';
import type { Usage } from '../../domain/usage.ts';
import type { Db } from '../client/pool.ts';
import { createAgentReader } from '../tasks/agents.ts';
import type { Claimed } from './claim.ts';
import { readReferences, type TaskReference } from './references.ts';
import { readTurnContent, type InputMemory } from './stored-input.ts';
import type { RecordedStep, TurnContent } from './turn-content.ts';

export interface TurnInput extends Omit<TurnContent, 'steps'> {
  contextId: string;
  owner: string;
  tenant: string;
  definition: JsonObject;
  /** The owner's tasks that messages of this task refer to. */
  references: TaskReference[];
  /** The record of this turn. */
  steps: RecordedStep[];
  /** The finished steps of the earlier turns of this task. */
  earlierSteps: (RecordedStep & { turn: number })[];
  /** Usage of the task so far; undefined if it has called no model. */
  usage: Usage | undefined;
}

/**
 * @throws {FatalError} if the input exceeds its bounds
 * @throws {Error} if the input cannot be read
 */
export type ReadTurnInput = (claimed: Claimed, memory: InputMemory) => Promise<TurnInput>;

/** Returns the seconds that the turn has waited. Waits that overlap count once. */
function countWaitedSeconds(steps: readonly RecordedStep[]): number {
  const waits = steps.flatMap(({ wait }) => (wait === null ? [] : [wait]));
  let waited = 0;
  let countedTo = Number.POSITIVE_INFINITY;
  for (const wait of waits.toSorted((a, b) => b.startedSecondsAgo - a.startedSecondsAgo)) {
    const from = Math.min(wait.startedSecondsAgo, countedTo);
    waited += Math.max(0, from - wait.endedSecondsAgo);
    countedTo = Math.min(countedTo, wait.endedSecondsAgo);
  }
  return waited;
}

/** @param options.recordBytes maximum size of the record of one turn, in bytes of JSON */
export function createInputReader(db: Db, { recordBytes }: { recordBytes: number }): ReadTurnInput {
  const readAgent = createAgentReader(db);
  return async ({ lease, task, content }, memory) => {
    const { taskId, turn } = lease;
    const { steps, ...rest } = content ?? (await readTurnContent(db, lease, { recordBytes, memory }));
    const ownSteps = steps.filter((step) => step.turn === turn);
    const ownExchanges = rest.earlier.filter((exchange) => exchange.taskId === taskId);
    return {
      ...rest,
      tenant: task.tenant,
      owner: task.owner,
      contextId: task.contextId,
      usage: task.usage,
      definition: await readAgent(task.agentHash),
      references: await readReferences(db, task, taskId, [...ownExchanges, rest]),
      startedSecondsAgo: Math.max(0, rest.startedSecondsAgo - countWaitedSeconds(ownSteps)),
      steps: ownSteps,
      earlierSteps: steps.filter((step) => step.turn < turn && step.finished),
    };
  };
}
