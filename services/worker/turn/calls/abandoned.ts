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
import { isPassing } from '#shared/db/client/errors.ts';
import type { Db } from '#shared/db/client/pool.ts';
import type { JsonObject } from '#shared/domain/message.ts';
import { toolTaskPrefix } from '#shared/domain/wait.ts';
import { errorMessage, type Logger } from '#shared/runtime/log.ts';
import type { OpenToolTasks } from '../../agent/mcp/tasks/open.ts';
import type { RemoteAgents } from '../../agent/remote/agent.ts';
import { createSoughtMessage } from './message.ts';

const intervalMs = 2_000;
const requestMs = 30_000;
const longestRetrySeconds = 600;
const giveUpSeconds = 86_400;
/** Partners that are asked at the same time. */
const maxPartners = 16;
/** Requests to one of them at the same time. */
const maxRequests = 4;

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

  /** Does nothing for a partner that the definition does not have. */
  async function request(call: AbandonedCall, definition: JsonObject, bound: AbortSignal): Promise<void> {
    const { agent, remoteTask } = call;
    if (agent.startsWith(toolTaskPrefix)) {
      const name = agent.slice(toolTaskPrefix.length);
      const server = readMcpServers(definition)[name];
      if (server === undefined || remoteTask === null) return;
      const client = await parts.openToolTasks?.(name, server);
      await client?.cancel(remoteTask, bound);
      return;
    }
    const known = readRemoteAgents(definition)[agent];
    if (known === undefined) return;
    const client = await remote.open(agent, known);
    // Our task may have ended before the message was answered.
    const task = remoteTask ?? (await client.find(createSoughtMessage(call), bound))?.taskId;
    if (task !== undefined) await client.cancel(task, bound);
  }

  const postpone = (call: AbandonedCall): Promise<void> =>
    postponeCall(db, call, Math.min(longestRetrySeconds, Math.max(5, call.endedSecondsAgo / 2)));

  /** Returns false if the partner has not answered, and is asked again. */
  async function cancel(call: AbandonedCall): Promise<boolean> {
    const { taskId, agent, remoteTask, definition, endedSecondsAgo } = call;
    try {
      const bound = AbortSignal.any([signal, AbortSignal.timeout(requestMs)]);
      if (definition !== null) await request(call, definition, bound);
    } catch (error) {
      signal.throwIfAborted();
      log.warn({ taskId, agent, remoteTask, reason: errorMessage(error) }, 'call of agent not canceled');
      if (endedSecondsAgo < giveUpSeconds) {
        await postpone(call);
        return false;
      }
    }
    await closeCall(db, call);
    log.info({ taskId, agent, remoteTask }, 'call of agent abandoned');
    return true;
  }

  /** Cancels calls of one partner. Once it has not answered, the others are postponed. */
  async function cancelAll(calls: readonly AbandonedCall[]): Promise<void> {
    const rest = calls.values();
    let answers = true;
    const cancelRest = async (): Promise<void> => {
      for (const call of rest) {
        if (!answers) await postpone(call);
        else if (!(await cancel(call))) answers = false;
      }
    };
    await Promise.all(Array.from({ length: maxRequests }, cancelRest));
  }

  const warn = (error: unknown): void => {
    if (signal.aborted) return;
    log[isPassing(error) ? 'debug' : 'warn'](
      { reason: errorMessage(error) },
      'abandoned calls of agents not read',
    );
  };

  /** By partner, so that one that does not answer delays no others. */
  const busy = new Map<string, Promise<void>>();

  async function start(): Promise<void> {
    if (busy.size >= maxPartners) return;
    const calls = await readAbandonedCalls(db, [...busy.keys()]);
    for (const [partner, own] of Map.groupBy(calls, (call) => call.partner)) {
      if (busy.size >= maxPartners) return;
      const canceled = cancelAll(own).catch(warn);
      busy.set(
        partner,
        canceled.finally(() => busy.delete(partner)),
      );
    }
  }

  async function run(): Promise<void> {
    while (!signal.aborted) {
      // Jitter avoids synchronised reads of the workers.
      const ms = everyMs * (0.75 + Math.random() / 2);
      await sleep(ms, undefined, { signal, ref: false }).catch(() => undefined);
      if (!signal.aborted) await start().catch(warn);
    }
    await Promise.all(busy.values());
  }

  const running = run();
  return {
    close: async () => {
      stop.abort();
      await running;
    },
  };
}
