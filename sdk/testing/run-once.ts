/**
 * Runs a turn as a worker does, with the worker's own code for steps, waits, limits and errors, on a log in memory
 * instead of a database.
 */
import type { Agent } from '#services/worker/agent/agent.ts';
import type { HeldLease } from '#services/worker/turn/lease-heartbeat.ts';
import { MemoryBudget } from '#services/worker/turn/memory-budget.ts';
import type { TurnFiles } from '#services/worker/turn/output/files.ts';
import { createTurnCalls } from '#services/worker/turn/calls/open.ts';
import { runTurn } from '#services/worker/turn/run.ts';
import { Suspects } from '#services/worker/turn/suspects.ts';
import type { Claimed } from '#shared/db/turns/claim.ts';
import type { TurnInput } from '#shared/db/turns/input/input.ts';
import type { TurnEnd, TurnRelease, TurnWrite } from '#shared/db/turns/write.ts';
import { FatalError, LeaseLostError } from '#shared/domain/errors.ts';
import type { Part } from '#shared/domain/message.ts';
import type { CallbackResult } from '#shared/domain/wait.ts';
import { createLogger } from '#shared/runtime/log.ts';
import { createTestAgents } from './agents.ts';
import { toKey, type TurnLog } from './turn-log.ts';
import type { TestAgent } from './types.ts';

export const publicUrl = 'http://localhost:8080';

/** The default of `MAX_RECORD_BYTES`. */
const recordBytes = 64 * 1024 * 1024;
const log = createLogger('testing', 'silent');

export interface OnceOptions {
  agent: Agent;
  input: TurnInput;
  turn: number;
  /** The starts of this turn since its last recorded step, including this one. */
  attempts: number;
  failures: number;
  failingSince: Date | null;
  maxAttempts: number;
  turnLog: TurnLog;
  /** The other agents. */
  agents: Readonly<Record<string, TestAgent>>;
  now: () => number;
  /** The key of a step: the process dies once it is recorded. */
  crashAfter: string | undefined;
}

export interface Once {
  /** Undefined: the process has died. */
  finish: TurnEnd | TurnRelease | undefined;
  /** The keys of the steps that this run has recorded, in order. */
  ran: string[];
  /** Thrown by the agent. */
  error: unknown;
}

export async function runOnce(options: OnceOptions): Promise<Once> {
  const { agent, input, turnLog, now } = options;
  const once: Once = { finish: undefined, ran: [], error: undefined };
  const held = createLease({ taskId: getTaskId(options), turn: options.turn, fence: 1 });
  const write = async ({ steps = [], events = [], finish }: TurnWrite) => {
    const lost = held.lost();
    if (lost !== undefined) throw lost;
    turnLog.entries.push({ steps, events, at: now() });
    const finished = steps.filter(({ output }) => output !== null).map(toKey);
    once.ran.push(...finished);
    if (finish !== undefined) once.finish = finish;
    if (options.crashAfter !== undefined && finished.includes(options.crashAfter)) held.die();
    return { wakeups: [], lastEvent: 0 };
  };
  const watched: Agent = {
    run: async (turn) => {
      try {
        return await agent.run(turn);
      } catch (error) {
        once.error = error;
        throw error;
      }
    },
  };
  const outbox = { publish: () => undefined, publishAll: async () => undefined, idle: async () => undefined };
  await runTurn(
    {
      agent: watched,
      readInput: async () => ({ ...input, steps: turnLog.getRecord(now()) }),
      write,
      findEvent: async () => undefined,
      timeOutCallback: async (_, step) => {
        const result: CallbackResult = { status: 'timed_out' };
        turnLog.entries.push({ key: toKey(step), result, at: now() });
        return result;
      },
      publicUrl,
      openFiles: () => inlineFiles,
      openCalls: createTurnCalls(createTestAgents(options.agents), async (_, step, wait) => {
        turnLog.entries.push({
          steps: [{ ...step, output: null, wait: { ...wait, token: null } }],
          events: [],
          at: now(),
        });
      }),
      openChildren: () => {
        throw new FatalError('A task in memory has no child tasks: test spawn and join with a stack.');
      },
      outbox,
      memory: new MemoryBudget(),
      suspects: new Suspects(),
      maxAttempts: options.maxAttempts,
      checkCost: async () => undefined,
      spentToday: async () => ({ tokens: 0, cost: 0 }),
      recorder: { add: () => undefined },
      recordBytes,
      log,
    },
    createClaimed(options, held),
    held,
    new AbortController().signal,
  );
  return once;
}

/** Parts stay inline: no files are stored in memory. */
const inlineFiles: TurnFiles = {
  fit: async (_output: string, parts: readonly Part[]) => [...parts],
  store: undefined,
  read: async () => undefined,
  readArtifactSizes: async () => new Map(),
  readArtifact: async () => undefined,
};

function getTaskId({ input }: OnceOptions): string {
  return input.message.taskId ?? '';
}

function createLease(lease: HeldLease['lease']): HeldLease & { die: () => void } {
  const controller = new AbortController();
  let lost: LeaseLostError | undefined;
  return {
    lease,
    signal: controller.signal,
    lost: () => lost,
    abort: (reason) => controller.abort(reason),
    assertHeld: async () => {
      if (lost !== undefined) throw lost;
    },
    release: () => undefined,
    die: () => {
      lost = new LeaseLostError('the process was killed by crashAfter');
      controller.abort(lost);
    },
  };
}

function createClaimed(options: OnceOptions, held: HeldLease): Claimed {
  const { input, attempts, failures, failingSince, now } = options;
  const { owner, tenant, contextId, usage } = input;
  return {
    kind: 'claimed',
    lease: held.lease,
    attempts,
    failures,
    failingSince,
    crashed: false,
    signals: 0,
    lastEvent: 0,
    lastError: null,
    statusAt: new Date(now()),
    task: {
      tenant,
      owner,
      contextId,
      agentHash: '',
      usage,
      traceparent: null,
      isChild: false,
      isParent: false,
    },
    content: undefined,
    hasHistory: true,
    wakeups: [],
  };
}
