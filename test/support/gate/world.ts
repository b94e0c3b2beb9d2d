/**
 * Tasks on a real PostgreSQL, and what several workers and the front door may do to them at the same time. Each act is
 * logged with the moments between which it was under way, and what it was told. Workers keep every lease they ever
 * had, so that those they have lost are tried again.
 */
import { randomUUID } from 'node:crypto';
import type { Pool } from 'pg';
import { createAccept, type WebhookRow } from '#shared/db/tasks/accept.ts';
import type { Wakeup } from '#shared/domain/wakeup.ts';
import type { Db } from '#shared/db/client/pool.ts';
import { cancelTask } from '#shared/db/tasks/cancel.ts';
import { acceptFollowUp } from '#shared/db/tasks/follow-up.ts';
import { createClaim, type Claim } from '#shared/db/turns/claim.ts';
import { extendLeases, type Lease } from '#shared/db/turns/leases.ts';
import { createTurnWriter, type TurnWrite, type WriteTurn } from '#shared/db/turns/write.ts';
import { deleteWebhookConfig, putWebhookConfig } from '#shared/db/webhooks/configs.ts';
import { LeaseLostError } from '#shared/domain/errors.ts';
import { uuidv7 } from '#shared/domain/ids.ts';
import type { TaskState, TurnEndState } from '#shared/domain/task.ts';

export type WorkerAct =
  | { kind: 'claim'; task: number }
  | { kind: 'extend'; task: number; lease: number }
  | { kind: 'progress'; task: number; lease: number; events: number }
  | { kind: 'step'; task: number; lease: number; name: string }
  | { kind: 'end'; task: number; lease: number; state: TurnEndState }
  | { kind: 'release'; task: number; lease: number; delaySeconds: number; countAttempt: boolean };
export type ApiAct =
  | { kind: 'message'; task: number }
  | { kind: 'cancel'; task: number }
  | { kind: 'configure'; task: number; events: WebhookRow['events'] }
  | { kind: 'unconfigure'; task: number };
/** Time passes: leases run out, and turns that wait are due. */
export type TimeAct = { kind: 'expire'; task: number };
export type Act = WorkerAct | ApiAct | TimeAct;

export interface Done {
  kind: Act['kind'];
  taskId: string;
  /** Moments of one clock: what ended before another began was before it. */
  start: number;
  end: number;
  ok: boolean;
  fence?: number;
  turn?: number;
  state?: TurnEndState;
  step?: string;
  wakeups?: readonly Wakeup[];
}

const caller = { tenant: '', owner: 'ada' };
const options = { idempotencyWindowSeconds: 0, wakeupGraceSeconds: 10 };

export class World {
  readonly done: Done[] = [];
  readonly tasks: string[] = [];
  readonly #db: Db;
  readonly #pool: Pool;
  readonly #configs: { taskId: string; id: string }[] = [];
  #clock = 0;

  constructor(db: Db, pool: Pool) {
    this.#db = db;
    this.#pool = pool;
  }

  async accept(webhook: WebhookRow['events'] | null): Promise<void> {
    const taskId = uuidv7();
    const messageId = randomUUID();
    this.tasks.push(taskId);
    const config = webhook === null ? null : configOf(webhook);
    if (config !== null) this.#configs.push({ taskId, id: config.id });
    const wakeups = await createAccept(
      this.#db,
      options,
    )({
      ...caller,
      taskId,
      contextId: 'c',
      agentHash: 'h',
      messageId,
      requestHash: 'r',
      message: errorMessage(messageId),
      metadata: null,
      acceptedOutputModes: null,
      event: eventOf('TASK_STATE_SUBMITTED'),
      statusAt: new Date().toISOString(),
      shown: true,
      startAt: null,
      deadlineAt: null,
      traceparent: null,
      webhook: config,
    });
    if (!wakeups?.some((wakeup) => wakeup.kind === 'turn')) throw new Error('accepted without a wakeup');
  }

  worker(): (act: WorkerAct) => Promise<void> {
    const claim = createClaim(this.#db, { worker: randomUUID(), leaseSeconds: 30, wakeupGraceSeconds: 10 });
    const write = createTurnWriter(this.#db, options);
    const leases = new Map<string, Lease[]>();
    return (act) => this.#work(act, claim, write, leases);
  }

  async #work(act: WorkerAct, claim: Claim, write: WriteTurn, all: Map<string, Lease[]>): Promise<void> {
    const taskId = this.#taskOf(act);
    const leases = all.get(taskId) ?? [];
    all.set(taskId, leases);
    if (act.kind === 'claim') {
      await this.#log(act.kind, taskId, async () => {
        const result = await claim(taskId);
        if (result.kind !== 'claimed') return { ok: false };
        leases.push(result.lease);
        return { ok: true, fence: result.lease.fence, turn: result.lease.turn };
      });
      return;
    }
    // 0 is the newest; most acts are about that.
    const lease = leases.at(-1 - Math.min(act.lease, leases.length - 1));
    if (lease === undefined) return;
    const { fence, turn } = lease;
    await this.#log(act.kind, taskId, async () => {
      if (act.kind === 'extend') {
        return { ok: (await extendLeases(this.#db, [lease], 30)).has(taskId), fence, turn };
      }
      try {
        const { wakeups } = await write({ lease, ...writeOf(act, fence) });
        return {
          ok: true,
          fence,
          turn,
          wakeups,
          ...(act.kind === 'end' && { state: act.state }),
          ...(act.kind === 'step' && { step: act.name }),
        };
      } catch (error) {
        if (!(error instanceof LeaseLostError)) throw error;
        return { ok: false, fence, turn };
      }
    });
  }

  door(): (act: ApiAct) => Promise<void> {
    return async (act) => {
      const taskId = this.#taskOf(act);
      await this.#log(act.kind, taskId, () => this.#atDoor(act, taskId));
    };
  }

  async #atDoor(act: ApiAct, taskId: string): Promise<Pick<Done, 'ok' | 'turn' | 'wakeups'>> {
    switch (act.kind) {
      case 'message': {
        const messageId = randomUUID();
        const result = await acceptFollowUp(this.#db, options, {
          ...caller,
          taskId,
          messageId,
          requestHash: 'r',
          message: errorMessage(messageId),
          acceptedOutputModes: null,
          workingEvent: eventOf('TASK_STATE_WORKING'),
          statusAt: new Date().toISOString(),
          shown: true,
          traceparent: null,
        });
        return result.kind === 'accepted'
          ? { ok: true, turn: result.turn, wakeups: result.wakeups }
          : { ok: false };
      }
      case 'cancel': {
        const event = eventOf('TASK_STATE_CANCELED');
        const statusAt = new Date().toISOString();
        return { ok: (await cancelTask(this.#db, options, { taskId, event, statusAt })) !== undefined };
      }
      case 'configure': {
        const config = configOf(act.events);
        const { kind } = await putWebhookConfig(this.#db, options, caller, taskId, config);
        if (kind === 'stored') this.#configs.push({ taskId, id: config.id });
        return { ok: kind === 'stored' };
      }
      case 'unconfigure': {
        const config = this.#configs.find((one) => one.taskId === taskId);
        if (config === undefined) return { ok: false };
        this.#configs.splice(this.#configs.indexOf(config), 1);
        return { ok: (await deleteWebhookConfig(this.#db, caller, taskId, config.id)) === 'deleted' };
      }
      default:
        return act satisfies never;
    }
  }

  async expire(act: TimeAct): Promise<void> {
    const taskId = this.#taskOf(act);
    await this.#log('expire', taskId, async () => {
      await this.#pool.query(
        `update gates set run_at = least(run_at, now()),
          lease_until = case when lease_until is not null then now() - interval '1 second' end
         where task_id = $1`,
        [taskId],
      );
      return { ok: true };
    });
  }

  /** A sound worker brings everything to its end. */
  async drain(): Promise<void> {
    const work = this.worker();
    for (const task of this.tasks.keys()) {
      for (let claimed = true; claimed;) {
        await this.expire({ kind: 'expire', task });
        await work({ kind: 'claim', task });
        claimed = this.done.at(-1)?.ok ?? false;
        if (claimed) await work({ kind: 'end', task, lease: 0, state: 'TASK_STATE_COMPLETED' });
      }
    }
  }

  #taskOf(act: Act): string {
    return this.tasks[act.task % this.tasks.length]!;
  }

  async #log(
    kind: Act['kind'],
    taskId: string,
    act: () => Promise<Omit<Done, 'kind' | 'taskId' | 'start' | 'end'>>,
  ): Promise<void> {
    const start = this.#clock++;
    const result = await act();
    this.done.push({ kind, taskId, start, end: this.#clock++, ...result });
  }
}

function writeOf(
  act: Exclude<WorkerAct, { kind: 'claim' | 'extend' }>,
  fence: number,
): Omit<TurnWrite, 'lease'> {
  switch (act.kind) {
    case 'progress':
      return {
        events: Array.from({ length: act.events }, () => ({
          kind: 'progress' as const,
          payload: JSON.stringify({ fence }),
        })),
      };
    case 'step':
      return {
        steps: [
          {
            name: act.name,
            occurrence: 0,
            position: 0,
            inputHash: null,
            output: String(fence),
          },
        ],
      };
    case 'end':
      return {
        finish: {
          kind: 'end',
          state: act.state,
          payload: eventOf(act.state, fence),
          payloadIfContinued: eventOf('TASK_STATE_WORKING', fence),
          statusAt: new Date().toISOString(),
          message: null,
          direct: false,
          error: null,
        },
      };
    case 'release': {
      const { delaySeconds, countAttempt } = act;
      return { finish: { kind: 'release', delaySeconds, countAttempt, error: null } };
    }
    default:
      return act satisfies never;
  }
}

/** Events tell under which fence they were written. */
function eventOf(state: TaskState, fence?: number): string {
  return JSON.stringify({ statusUpdate: { status: { state } }, ...(fence !== undefined && { fence }) });
}

function errorMessage(messageId: string): string {
  return JSON.stringify({ messageId, role: 'ROLE_USER', parts: [] });
}

function configOf(events: WebhookRow['events']): WebhookRow {
  const id = randomUUID();
  const secrets = { token: null, authScheme: null, authCredentials: null, signingSecret: null };
  return { id, url: 'http://localhost/', ...secrets, events, ordered: true, protocolVersion: '1.0' };
}
