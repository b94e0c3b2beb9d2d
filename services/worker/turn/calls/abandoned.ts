/**
 * Cancels the tasks of other agents that no turn waits for anymore, because ours was canceled, failed or missed its
 * deadline. An agent that is unavailable is asked again at growing intervals, for a day.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { readRemoteAgents } from '#shared/agent/gateway.ts';
import {
  closeCall,
  postponeCall,
  readAbandonedCalls,
  type AbandonedCall,
} from '#shared/db/calls/abandoned.ts';
import type { Db } from '#shared/db/client/pool.ts';
import { errorMessage, type Logger } from '#shared/runtime/log.ts';
import type { RemoteAgents } from '../../agent/remote/agent.ts';

const intervalMs = 2_000;
const requestMs = 30_000;
const longestRetrySeconds = 600;
const giveUpSeconds = 86_400;

export interface AbandonedCallsLoop {
  close(): Promise<void>;
}

/** @param parts.everyMs the time between two reads, with jitter */
export function startAbandonedCalls(parts: {
  db: Db;
  remote: RemoteAgents;
  everyMs?: number;
  log: Logger;
}): AbandonedCallsLoop {
  const { db, remote, everyMs = intervalMs, log } = parts;
  const stop = new AbortController();
  const { signal } = stop;

  async function cancel(call: AbandonedCall): Promise<void> {
    const { taskId, agent, remoteTask, definition, endedSecondsAgo } = call;
    const known = definition === null ? undefined : readRemoteAgents(definition)[agent];
    try {
      if (remoteTask !== null && known !== undefined) {
        const client = await remote.open(agent, known);
        await client.cancel(remoteTask, AbortSignal.any([signal, AbortSignal.timeout(requestMs)]));
      }
    } catch (error) {
      signal.throwIfAborted();
      log.warn({ taskId, agent, remoteTask, reason: errorMessage(error) }, 'call of agent not canceled');
      if (endedSecondsAgo < giveUpSeconds) {
        return postponeCall(db, call, Math.min(longestRetrySeconds, Math.max(5, endedSecondsAgo / 2)));
      }
    }
    await closeCall(db, call);
    log.info({ taskId, agent, remoteTask }, 'call of agent abandoned');
  }

  async function run(): Promise<void> {
    while (!signal.aborted) {
      // Jitter avoids synchronised reads of the workers.
      const ms = everyMs * (0.75 + Math.random() / 2);
      await sleep(ms, undefined, { signal, ref: false }).catch(() => undefined);
      if (signal.aborted) return;
      try {
        for (const call of await readAbandonedCalls(db)) await cancel(call);
      } catch (error) {
        if (!signal.aborted) log.warn({ reason: errorMessage(error) }, 'abandoned calls of agents not read');
      }
    }
  }

  const running = run();
  return {
    close: async () => {
      stop.abort();
      await running;
    },
  };
}
