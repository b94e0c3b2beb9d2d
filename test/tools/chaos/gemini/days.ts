/**
 * Tasks that plan together with Deep Research over two days, while the worker and the api die. Time passes when all times that
 * are stored, in the database and at the offline model, are moved back: waits become due, and Google forgets old calls.
 *
 *   plan ─24 h─▶ change ─▶ another plan ─20 h─▶ confirmation ─▶ research ─12 h, without worker and api─▶ report ─25 h─▶ removed
 */
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { waitsExtension } from '#shared/domain/wait.ts';
import { writeAgentFile } from '../../../support/agents/definition.ts';
import type { Cleanup } from '../../../support/cleanup.ts';
import { isCompleted, startStack, type Stack, type TaskJson } from '../../../support/stack.ts';
import { waitFor } from '../../../support/wait-for.ts';
import { startReceiver, type Receiver } from '../../../support/webhooks/receiver.ts';
import type { PartOptions, PartResult } from './part.ts';

const boundMs = 240_000;
const dayMs = 86_400_000;
/** How long Google stores calls on its plans. */
const plans = { paid: 55 * dayMs, free: dayMs };

/** Whether the calls of a task continue the one before. On the free plan, Google no longer has the first after a day. */
const continued = { paid: [false, true, true], free: [false, false, true] };

export async function planOverDays(cleanup: Cleanup, { count }: PartOptions): Promise<PartResult> {
  const model = { name: 'deep-research-preview-04-2026', agentConfig: { collaborativePlanning: true } };
  const agentFile = writeAgentFile(cleanup, { model, tools: [] });
  const stack = await startStack(cleanup, { AGENT_FILE: agentFile, RETENTION_DAYS: '1' });
  const receiver = await startReceiver(cleanup);
  await stack.start('dispatcher');
  const services = new Services(stack);
  await services.start();
  const results: PartResult[] = [];
  for (const plan of ['paid', 'free'] as const) {
    results.push(await runTasks({ stack, services, receiver, plan }, count));
  }
  return {
    figures: Object.assign({}, ...results.map(({ figures }) => figures)) as PartResult['figures'],
    violations: results.flatMap(({ violations }) => violations),
  };
}

/** The worker and the api, which die together. */
class Services {
  readonly #stack: Stack;
  #kill: () => Promise<unknown> = async () => undefined;

  constructor(stack: Stack) {
    this.#stack = stack;
  }

  async start(): Promise<void> {
    const keys = { GEMINI_WEBHOOK_JWKS_URL: `${this.#stack.model.url}/.well-known/jwks.json` };
    const running = await Promise.all([this.#stack.start('worker'), this.#stack.start('api', keys)]);
    this.#kill = () => Promise.all(running.map((service) => service.kill()));
  }

  async kill(): Promise<void> {
    await this.#kill();
  }
}

interface World {
  stack: Stack;
  services: Services;
  receiver: Receiver;
  plan: keyof typeof plans;
}

async function runTasks({ stack, services, receiver, plan }: World, count: number): Promise<PartResult> {
  const { interactions } = stack.model;
  interactions.retentionMs = plans[plan];
  const before = receiver.received.length;
  const configuration = { taskPushNotificationConfig: { url: receiver.url } };
  const tasks = await Promise.all(
    Array.from({ length: count }, () => stack.submit('tea', { configuration })),
  );
  const ids = tasks.map(({ id }) => id);
  const all = (condition: (task: TaskJson) => boolean) =>
    Promise.all(ids.map((id) => stack.until(id, condition, boundMs)));
  const say = (text: string) =>
    Promise.all(
      ids.map((taskId) => {
        const message = { messageId: randomUUID(), taskId, role: 'ROLE_USER', parts: [{ text }] };
        return stack.rpc('SendMessage', { message, configuration: { returnImmediately: true } });
      }),
    );
  const isContinued: boolean[] = [];
  const noteCall = (): void => {
    const ofTask = interactions.list().filter(({ request }) => request.labels?.['longhaul_task'] === ids[0]);
    isContinued.push(ofTask.at(-1)?.request.previous_interaction_id !== undefined);
  };

  await all(asks);
  noteCall();
  await pass(stack, 24);
  await services.kill();
  await services.start();
  await say('only green tea');
  await all((task) => asks(task) && JSON.stringify(task.status.message).includes('green tea'));
  noteCall();
  await services.kill();
  await pass(stack, 20);
  await services.start();
  stack.model.script([
    { match: 'yes', reactions: [{ delayMs: dayMs, chunks: ['the report'] }], repeat: true },
  ]);
  await say('yes');
  await all(({ status }) => status.message?.metadata?.[waitsExtension] !== undefined);
  noteCall();
  await waitFor('the research', async () => (await readPending(stack)) === 0, { boundMs });
  await services.kill();
  await pass(stack, 12);
  interactions.endAll();
  await services.start();
  const reports = await all(isCompleted);
  await receiver.match(new RegExp(`(?=.*"${ids[0]}").*TASK_STATE_COMPLETED`), boundMs);
  await waitFor('the webhooks', async () => (await readPending(stack)) === 0, { boundMs });
  const counted = await stack.pool.query<{ created: number; ledger: number }>(
    `select count(*) filter (where name = 'interaction')::int as created, count(usage)::int as ledger
     from steps where task_id = any($1)`,
    [ids],
  );
  const { created = 0, ledger = 0 } = counted.rows[0] ?? {};
  const webhooks = receiver.received.slice(before);
  const violations = [
    ...ids.flatMap((id) => checkWebhooks(webhooks.filter(({ body }) => body.includes(id)))),
    ...(reports.every(({ artifacts }) => artifacts?.length === 1) ? [] : ['a plan is an artifact']),
    ...(created === 3 * count && ledger === 3 * count
      ? []
      : [`${created} interactions, ${ledger} with usage, not ${3 * count}`]),
    ...(isContinued.join() === continued[plan].join() ? [] : [`calls continued: ${isContinued.join()}`]),
  ].map((violation) => `${plan} plan: ${violation}`);
  await pass(stack, 25);
  const isRemoved = async () =>
    interactions.list().length === 0 &&
    (await stack.pool.query('select from tasks union all select from stored_calls')).rowCount === 0;
  await waitFor('the removal of the tasks, also at Google', isRemoved, { boundMs });
  return {
    figures: {
      [`${plan} plan: interactions created`]: created,
      [`${plan} plan: calls that continue the one before`]: isContinued.join(', '),
      [`${plan} plan: webhooks received`]: webhooks.length,
    },
    violations,
  };
}

const asks = ({ status }: TaskJson): boolean => status.state === 'TASK_STATE_INPUT_REQUIRED';

function checkWebhooks(webhooks: Receiver['received']): string[] {
  const numbers = webhooks.map(({ headers }) => Number(headers['longhaul-event']));
  const inOrder = numbers.every((number, index) => index === 0 || number > (numbers[index - 1] ?? 0));
  const states = webhooks
    .flatMap(({ body }) => /TASK_STATE_[A-Z_]+/.exec(body) ?? [])
    .filter((state) => state !== 'TASK_STATE_WORKING' && state !== 'TASK_STATE_SUBMITTED');
  const expected = ['TASK_STATE_INPUT_REQUIRED', 'TASK_STATE_INPUT_REQUIRED', 'TASK_STATE_COMPLETED'];
  return inOrder && states.join() === expected.join()
    ? []
    : [`webhooks ${numbers.join()} in the order ${states.join()}`];
}

/** Turns that a worker holds, and deliveries that are not made. */
async function readPending({ pool }: Stack): Promise<number> {
  const { rows } = await pool.query<{ count: number }>(
    `select ((select count(*) from gates where lease_until is not null)
       + (select count(*) from deliveries where state = 'pending'))::int as count`,
  );
  return rows[0]?.count ?? 0;
}

/** Lets hours pass, when nothing is under way. */
async function pass(stack: Stack, hours: number): Promise<void> {
  await waitFor('the end of all work', async () => (await readPending(stack)) === 0, { boundMs });
  for (let attempt = 1; ; attempt += 1) {
    try {
      await moveTimesBack(stack, hours);
      break;
    } catch (error) {
      // A service that runs holds rows in another order.
      if ((error as { code?: unknown }).code !== '40P01' || attempt === 10) throw error;
      await sleep(100);
    }
  }
  stack.model.interactions.pass(hours * 3_600_000);
}

async function moveTimesBack({ pool }: Stack, hours: number): Promise<void> {
  await pool.query(`
    do $$
    declare statement text;
    begin
      for statement in
        select format('update %I set %s', table_name,
          string_agg(format('%1$I = %1$I - interval ''${hours} hours''', column_name), ', '))
        from information_schema.columns join information_schema.tables using (table_schema, table_name)
        where table_schema = 'public' and table_type = 'BASE TABLE' and data_type = 'timestamp with time zone'
          and is_generated = 'NEVER'
        group by table_name order by table_name
      loop
        execute statement;
      end loop;
    end $$`);
}
