/**
 * Cancels the tasks of other agents and of MCP servers that no turn waits for anymore, because ours was canceled, failed or missed its
 * deadline. An agent that is unavailable is asked again at growing intervals, for a day.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { readRemoteAgents } from '#shared/agent/gateway.ts';
import { readMcpServers } from '#shared/agent/mcp-servers.ts';
import {
  closeCall,
  postponeCall,
  readAbandonedCalls,
  type AbandonedCall,
} from '#shared/db/calls/abandoned.ts';
import type { Db } from '#shared/db/client/pool.ts';
import type { JsonObject } from '#shared/domain/message.ts';
import { toolTaskPrefix } from '#shared/domain/wait.ts';
import { errorMessage, type Logger } from '#shared/runtime/log.ts';
import type { OpenToolTasks, RemoteToolTasks } from '../../agent/mcp/tasks/open.ts';
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
  /** If omitted, tasks of MCP servers are not canceled. */
  openToolTasks?: OpenToolTasks;
  everyMs?: number;
  log: Logger;
}): AbandonedCallsLoop {
  const { db, remote, everyMs = intervalMs, log } = parts;
  const stop = new AbortController();
  const { signal } = stop;

  /** Returns undefined for a partner that the definition does not have. */
  async function open(
    agent: string,
    definition: JsonObject,
  ): Promise<Pick<RemoteToolTasks, 'cancel'> | undefined> {
    if (!agent.startsWith(toolTaskPrefix)) {
      const known = readRemoteAgents(definition)[agent];
      return known && remote.open(agent, known);
    }
    const name = agent.slice(toolTaskPrefix.length);
    const server = readMcpServers(definition)[name];
    return server && parts.openToolTasks?.(name, server);
  }

  async function cancel(call: AbandonedCall): Promise<void> {
    const { taskId, agent, remoteTask, definition, endedSecondsAgo } = call;
    try {
      const client = definition === null ? undefined : await open(agent, definition);
      if (remoteTask !== null && client !== undefined) {
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
