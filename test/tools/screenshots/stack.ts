/** A stack with tasks in every state, webhooks of every health, schedules, and usage of a month, for the pictures. */
import { fileURLToPath } from 'node:url';
import type { Cleanup } from '../../support/cleanup.ts';
import { isCompleted, startStack, type Stack } from '../../support/stack.ts';
import { startReceiver } from '../../support/webhooks/receiver.ts';

export interface PictureStack {
  apiUrl: string;
  /** The address of each picture, below `/console`. */
  paths: Record<string, string>;
}

const resolve = (name: string): string => fileURLToPath(new URL(name, import.meta.url));
const isIn =
  (state: string) =>
  ({ status }: { status: { state: string } }): boolean =>
    status.state === `TASK_STATE_${state}`;

export async function createPictureStack(t: Cleanup): Promise<PictureStack> {
  const stack = await startStack(t, {
    CONSOLE: 'true',
    AGENT_FILE: resolve('agent.yaml'),
    AGENT_MODULE: resolve('agent.ts'),
    LEASE_SECONDS: '30',
  });
  await Promise.all([
    stack.start('api'),
    stack.start('worker', { WORKER_NAME: 'worker-7f9c' }),
    stack.start('dispatcher'),
  ]);
  const [good, gone] = await Promise.all([startReceiver(t), startReceiver(t)]);
  gone.answer(410);
  const webhook = (url: string) => ({ configuration: { taskPushNotificationConfig: { url } } });

  for (const month of ['June', 'July', 'August', 'September']) {
    await stack.submit(`Summarise the complaints of ${month}.`, webhook(`${good.url}/reports`));
  }
  const report = await stack.submit('Write the report for Q3.', webhook(`${good.url}/reports`));
  const failed = await stack.submit('Import the archive of 2024.', webhook('http://127.0.0.1:9/imports'));
  const question = await stack.submit('Compare the quarter with an earlier one.');
  await stack.submit('Refund order 1002, it arrived broken.');
  await stack.submit('Translate the summary into German.', webhook(`${gone.url}/translations`));
  await stack.submit('Watch the stock of pallets until tomorrow.');
  await stack.submit('Index the catalogue of 2026.');
  await createSchedules(stack);
  await addUsage(stack);
  await addOwners(stack);
  await stack.until(report.id, isCompleted);
  await stack.until(failed.id, isIn('FAILED'));
  await stack.until(question.id, isIn('INPUT_REQUIRED'));
  await gone.count(1);
  return {
    apiUrl: stack.apiUrl,
    paths: {
      tasks: '/',
      task: `/tasks/${report.id}`,
      deliveries: `/tasks/${failed.id}/webhooks`,
      inbox: '/inbox',
      new: '/new',
      webhooks: '/webhooks',
      schedules: '/schedules',
      usage: '/usage',
      agent: '/agent',
      operations: '/operations',
    },
  };
}

async function createSchedules({ apiUrl }: Stack): Promise<void> {
  const schedules = {
    'morning-report': {
      cron: '0 9 * * 1-5',
      timeZone: 'Europe/Berlin',
      text: 'Write the report of yesterday.',
    },
    'stock-watch': {
      everySeconds: 3600,
      overlap: 'cancel',
      text: 'Watch the stock of pallets until the next run.',
    },
  };
  for (const [id, { text, ...times }] of Object.entries(schedules)) {
    const message = { role: 'ROLE_USER', parts: [{ text }] };
    await fetch(`${apiUrl}/a2a/v1/schedules/${id}`, {
      method: 'PUT',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ ...times, request: { message } }),
    });
  }
  await fetch(`${apiUrl}/a2a/v1/schedules/morning-report/run`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: '{}',
  });
}

/** The usage of the last month, with a rhythm of weeks. */
async function addUsage({ pool }: Stack): Promise<void> {
  await pool.query(
    `insert into ledger (tenant, owner, day, model, calls, prompt_tokens, cached_tokens, tool_tokens, thought_tokens,
       output_tokens, cost, unpriced)
     select '', 'anonymous', current_date - n, model, calls, calls * 2400, calls * 900, 0, calls * 210, calls * 520,
       calls * price, 0
     from generate_series(1, 29) n
       cross join (values ('gemini-2.5-pro', 0.019, 9), ('gemini-2.5-flash', 0.0034, 42), ('gemini-2.5-flash-lite', 0.0008, 70))
         models (model, price, base)
       cross join lateral (
         select (base * case when extract(dow from current_date - n) in (0, 6) then 0.25 else 1 + 0.3 * sin(n * 1.7) end)::int
       ) amounts (calls)`,
  );
}

/** Other owners, of which one is near a limit, and the quota of a model. */
async function addOwners({ pool }: Stack): Promise<void> {
  await pool.query(
    `insert into owner_limits (owner, limits) values
       ('key:reports', '{"storedBytes": 1000000000}'), ('key:imports', '{"openTasks": 200, "modelCostPerDay": 20}')`,
  );
  await pool.query(
    `insert into owner_usage (owner, bytes) values ('key:reports', 912000000), ('key:imports', 41000000)`,
  );
  await pool.query(`insert into model_quotas (model) values ('gemini-2.5-flash'), ('gemini-2.5-pro')`);
}
