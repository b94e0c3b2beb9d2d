/** Plays the worker for tasks of an api service without one: claims their turns, and writes what an agent would. */
import { uuidv7 } from '#shared/domain/ids.ts';
import type { Db } from '#shared/db/client/pool.ts';
import { createTurnWriter } from '#shared/db/turns/write.ts';
import type { Artifact, Part } from '#shared/domain/message.ts';
import { createAgentMessage, createProgressEvent, createTurnEnd } from '#services/worker/turn/outcome.ts';
import type { TurnOutcome } from '#services/worker/agent/agent.ts';
import { databaseNow } from '#shared/runtime/clock.ts';
import { claimTask } from './new-task.ts';

export interface PlayedTurn {
  progress(text: string): Promise<void>;
  artifact(parts: Part[]): Promise<void>;
  end(outcome: TurnOutcome): Promise<void>;
}

/** Claims the turn of a task. */
export async function playTurn(db: Db, taskId: string): Promise<PlayedTurn> {
  const write = createTurnWriter(db, { wakeupGraceSeconds: 10 });
  const { lease } = await claimTask(db, taskId);
  const { context_id: contextId } = await db
    .selectFrom('tasks')
    .select('context_id')
    .where('id', '=', taskId)
    .executeTakeFirstOrThrow();
  const ids = { taskId, contextId };
  return {
    progress: async (text) => {
      const message = createAgentMessage(ids, text);
      await write({
        lease,
        events: [createProgressEvent(ids, new Date(databaseNow()).toISOString(), message)],
      });
    },
    artifact: async (parts) => {
      const artifact: Artifact = { artifactId: uuidv7(), name: 'answer', parts };
      const payload = JSON.stringify({ artifactUpdate: { ...ids, artifact, lastChunk: true } });
      const whole = JSON.stringify(artifact);
      await write({
        lease,
        events: [{ kind: 'artifact', payload, artifact: { artifactId: artifact.artifactId, whole } }],
      });
    },
    end: async (outcome) => {
      const end = createTurnEnd(ids, new Date(databaseNow()), outcome, null, undefined);
      await write({ lease, finish: end });
    },
  };
}
