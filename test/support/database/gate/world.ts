/**
 * Tasks on a real PostgreSQL, and the acts of workers and of the API on them. Each act is logged with the
 * moments of its start and end and with its result. Workers keep every lease that they ever had, so that they
 * also write with lost leases.
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
import type { TaskState, TurnEndState } from '#shared/domain/task.ts';
import { caller, newFollowUp, newTask, newTurnEnd, newWebhook } from '../new-task.ts';

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
/** Time passes: leases expire, and delayed turns are due. */
export type TimeAct = { kind: 'expire'; task: number };
export type Act = WorkerAct | ApiAct | TimeAct;

export interface LoggedAct {
  kind: Act['kind'];
  taskId: string;
  /** Ticks of a logical clock. An act that ended before another act started precedes it. */
  start: number;
  end: number;
  ok: boolean;
  fence?: number;
  turn?: number;
  state?: TurnEndState;
  step?: string;
  wakeups?: readonly Wakeup[];
}

const options = { idempotencyWindowSeconds: 0, wakeupGraceSeconds: 10, webhookRequestsPerMinute: 0 };

export class World {
  readonly acts: LoggedAct[] = [];
  readonly tasks: string[] = [];
  readonly #db: Db;
  readonly #pool: Pool;
  readonly #configs: { taskId: string; id: string }[] = [];
  #clock = 0;

  constructor(db: Db, pool: Pool) {
    this.#db = db;
    this.#pool = pool;
  }

  async accept(events: WebhookRow['events'] | null): Promise<void> {
    const webhook = events === null ? null : newWebhook({ events });
    const task = newTask({ webhook });
    this.tasks.push(task.taskId);
    if (webhook !== null) this.#configs.push({ taskId: task.taskId, id: webhook.id });
    const wakeups = await createAccept(this.#db, options)(task);
    if (!wakeups?.some((wakeup) => wakeup.kind === 'turn')) throw new Error('accepted without a wake-up');
  }

  createWorker(): (act: WorkerAct) => Promise<void> {
    const claim = createClaim(this.#db, {
      worker: randomUUID(),
      leaseSeconds: 30,
      wakeupGraceSeconds: 10,
      maxAttempts: 5,
    });
    const write = createTurnWriter(this.#db, options);
    const leases = new Map<string, Lease[]>();
    return (act) => this.#work(act, claim, write, leases);
  }

  async #work(act: WorkerAct, claim: Claim, write: WriteTurn, all: Map<string, Lease[]>): Promise<void> {
    const taskId = this.#getTaskId(act);
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
    // 0 is the newest; most acts use it.
    const lease = leases.at(-1 - Math.min(act.lease, leases.length - 1));
    if (lease === undefined) return;
    const { fence, turn } = lease;
    await this.#log(act.kind, taskId, async () => {
      if (act.kind === 'extend') {
        return { ok: (await extendLeases(this.#db, [lease], 30)).extended.has(taskId), fence, turn };
      }
      try {
        const { wakeups } = await write({ lease, ...toWrite(act, lease) });
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

  createApi(): (act: ApiAct) => Promise<void> {
    return async (act) => {
      const taskId = this.#getTaskId(act);
      await this.#log(act.kind, taskId, () => this.#request(act, taskId));
    };
  }

  async #request(act: ApiAct, taskId: string): Promise<Pick<LoggedAct, 'ok' | 'turn' | 'wakeups'>> {
    switch (act.kind) {
      case 'message': {
        const result = await acceptFollowUp(this.#db, options, newFollowUp(taskId));
        return result.kind === 'accepted'
          ? { ok: true, turn: result.turn, wakeups: result.wakeups }
          : { ok: false };
      }
      case 'cancel': {
        return { ok: (await cancelTask(this.#db, options, taskId)) !== undefined };
      }
      case 'configure': {
        const config = newWebhook({ events: act.events });
        const { kind } = await putWebhookConfig(this.#db, options, caller, taskId, config);
        if (kind === 'stored') this.#configs.push({ taskId, id: config.id });
        return { ok: kind === 'stored' };
      }
      case 'unconfigure': {
        const config = this.#configs.find((each) => each.taskId === taskId);
        if (config === undefined) return { ok: false };
        this.#configs.splice(this.#configs.indexOf(config), 1);
        return { ok: (await deleteWebhookConfig(this.#db, caller, taskId, config.id)) === 'deleted' };
      }
      default:
        return act satisfies never;
    }
  }

  async expire(act: TimeAct): Promise<void> {
    const taskId = this.#getTaskId(act);
    await this.#log('expire', taskId, async () => {
      await this.#pool.query(
        `with extended as (
          update extended_leases set lease_until = now() - interval '1 second' where task_id = $1
         )
         update gates set run_at = least(run_at, now()),
          lease_until = case when lease_until is not null then now() - interval '1 second' end
         where task_id = $1`,
        [taskId],
      );
      return { ok: true };
    });
  }

  /** A worker that never fails completes every task. */
  async drain(): Promise<void> {
    const work = this.createWorker();
    for (const task of this.tasks.keys()) {
      for (let claimed = true; claimed;) {
        await this.expire({ kind: 'expire', task });
        await work({ kind: 'claim', task });
        claimed = this.acts.at(-1)?.ok ?? false;
        if (claimed) await work({ kind: 'end', task, lease: 0, state: 'TASK_STATE_COMPLETED' });
      }
    }
  }

  #getTaskId(act: Act): string {
    return this.tasks[act.task % this.tasks.length]!;
  }

  async #log(
    kind: Act['kind'],
    taskId: string,
    act: () => Promise<Omit<LoggedAct, 'kind' | 'taskId' | 'start' | 'end'>>,
  ): Promise<void> {
    const start = this.#clock++;
    const result = await act();
    this.acts.push({ kind, taskId, start, end: this.#clock++, ...result });
  }
}

function toWrite(
  act: Exclude<WorkerAct, { kind: 'claim' | 'extend' }>,
  { taskId, fence }: Lease,
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
        finish: newTurnEnd(taskId, act.state, {
          payload: createFencedPayload(act.state, fence),
          payloadIfContinued: createFencedPayload('TASK_STATE_WORKING', fence),
        }),
      };
    case 'release': {
      const { delaySeconds, countAttempt } = act;
      return { finish: { kind: 'release', delaySeconds, countAttempt, error: null } };
    }
    default:
      return act satisfies never;
  }
}

/** The payload of an event, with the fence under which it was written. */
function createFencedPayload(state: TaskState, fence: number): string {
  return JSON.stringify({ statusUpdate: { status: { state } }, fence });
}
