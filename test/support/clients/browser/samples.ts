/** Tasks of the scripted agent in every state, for tests of the screens and for their screenshots. */
import { isCompleted, type Stack } from '../../stack.ts';

export interface Samples {
  completed: string;
  asking: string;
  failed: string;
}

const report = [
  'step fetch-orders 350',
  'use 0.0042',
  'step summarise 500',
  'stream The **third quarter** closed 12% above plan. Growth came from two regions, and returns fell to 1.8%.',
  'use 0.0108',
  'data {"quarter": "Q3", "revenue": 1840000, "regions": [{"name": "North", "growth": 0.14}, {"name": "South", "growth": 0.1}]}',
  'step publish 200',
].join('\n');

/** @param receiver the address of a webhook */
export async function sampleTasks(stack: Stack, receiver: string): Promise<Samples> {
  const webhook = (url: string) => ({ configuration: { taskPushNotificationConfig: { url } } });
  const completed = await stack.submit(report, webhook(receiver));
  const asking = await stack.submit(
    'step look-up 150\nask Which quarter do you mean, the last or the current one?',
  );
  const failed = await stack.submit(
    'step load 150\nfail The order service is away.',
    webhook('http://127.0.0.1:9/'),
  );
  await stack.submit('step collect 200\nsleep until-morning 3600');
  await stack.submit('step translate 120\nsay Done.');
  await stack.until(completed.id, isCompleted);
  await stack.until(asking.id, ({ status }) => status.state === 'TASK_STATE_INPUT_REQUIRED');
  await stack.until(failed.id, ({ status }) => status.state === 'TASK_STATE_FAILED');
  return { completed: completed.id, asking: asking.id, failed: failed.id };
}
