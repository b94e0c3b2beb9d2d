/** Every command of `longhaul` against a whole system, in a pipe and in a terminal. */
import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { listCommandWords } from '#services/cli/completion/words.ts';
import { createProgram } from '#services/cli/program.ts';
import { createSuiteCleanup } from '../../../support/cleanup.ts';
import { noTerminal, runCli, runCliInTerminal } from '../../../support/clients/cli.ts';
import { createTempDir } from '../../../support/temp-dir.ts';
import { startStack, type Stack, type TaskJson } from '../../../support/stack.ts';
import { startReceiver } from '../../../support/webhooks/receiver.ts';

const timeout = 150_000;
const escape = '\u001b';
const cancelOrder = 'Use cancel_order with {"order": "1002"}';

/** They call no agent, or do not end. Tests of the package, of the services and of the deployment run them. */
const elsewhere = 'init dev deploy mcp api worker dispatcher migrate admin'
  .split(' ')
  .concat('webhooks receive');

/** The commands without subcommands. */
const commands = listCommandWords(createProgram())
  .filter(({ path, subcommands }) => path !== '' && subcommands.length === 0 && !elsewhere.includes(path))
  .map(({ path }) => path);

const isIn =
  (state: string) =>
  ({ status }: TaskJson): boolean =>
    status.state === `TASK_STATE_${state}`;

describe('longhaul', () => {
  const cleanup = createSuiteCleanup();
  let stack: Stack;
  let webhookUrl: string;
  before(async () => {
    stack = await startStack(cleanup, { AGENT_FILE: 'docs/agents/orders.yaml' });
    webhookUrl = (await startReceiver(cleanup)).url;
    await Promise.all([stack.start('api'), stack.start('worker'), stack.start('dispatcher')]);
  });

  async function sendUntil(text: string, state: string): Promise<string> {
    const { id } = await stack.submit(text, {
      configuration: { taskPushNotificationConfig: { url: webhookUrl } },
    });
    await stack.until(id, isIn(state));
    return id;
  }

  /** Returns a call of each command that does what it is for. They run in this order. */
  async function createCalls(): Promise<Record<string, string[]>> {
    const [done, asked, approved, refused] = await Promise.all([
      sendUntil('What is 6 times 7?', 'COMPLETED'),
      sendUntil('Ask me which city', 'INPUT_REQUIRED'),
      sendUntil(cancelOrder, 'AUTH_REQUIRED'),
      sendUntil(cancelOrder, 'AUTH_REQUIRED'),
    ]);
    const metadata = {
      'https://longhaul.dev/ext/schedule/v1': { startAt: new Date(Date.now() + 3_600_000).toISOString() },
    };
    const { id: open } = await stack.submit('Good morning', { metadata });
    return {
      send: ['What is 6 times 7?'],
      watch: [done],
      get: [done],
      list: ['--state', 'completed'],
      answer: [asked, 'Paris'],
      approve: [approved],
      refuse: [refused],
      timeline: [done],
      cancel: [open],
      rerun: [done],
      stats: [],
      usage: [],
      'schedules create': ['report', 'What is 6 times 7?', '--every', '1h'],
      'schedules list': [],
      'schedules get': ['report'],
      'schedules run': ['report'],
      'schedules history': ['report'],
      'schedules pause': ['report'],
      'schedules resume': ['report'],
      'schedules delete': ['report'],
      'webhooks list': [done],
      'webhooks deliveries': [done],
      'webhooks redeliver': [done, '--event', '1'],
      'webhooks test': [done],
      'webhooks rotate-secret': [done],
      'webhooks listen': ['--print-secret'],
      card: [],
      'profile set': ['local', stack.apiUrl],
      'profile list': [],
      'profile remove': ['local'],
      'ops backlog': [],
      'ops workers': [],
      'ops models': [],
      'ops hosts': [],
      'ops versions': [],
      'ops undeleted': [],
      'ops work': ['stalled'],
      'ops owners': ['--all'],
      'ops usage': [],
      'ops wake': ['--stalled'],
      'ops drain': ['none'],
      doctor: ['--no-task'],
      completion: ['bash'],
    };
  }

  /** Drains no worker, which the other commands need. */
  const expectedStatus = (command: string): number => (command === 'ops drain' ? 1 : 0);

  test('has a call for each command', async () => {
    assert.deepEqual(Object.keys(await createCalls()).toSorted(), commands.toSorted());
  });

  for (const [place, run] of [
    ['a pipe', runCli],
    ['a terminal', runCliInTerminal],
  ] as const) {
    const skip = place === 'a terminal' ? noTerminal : undefined;
    test(`runs each command in ${place}`, { timeout, ...(skip && { skip }) }, async (t) => {
      const env = { LONGHAUL_URL: stack.apiUrl, XDG_CONFIG_HOME: createTempDir(t), TERM: 'xterm' };
      for (const [command, args] of Object.entries(await createCalls())) {
        const { status, stdout, stderr } = await run([...command.split(' '), ...args], { env });
        const output = `${command}: ${stdout}${stderr}`;
        assert.equal(status, expectedStatus(command), output);
        assert.doesNotMatch(output, /^ +at .*:\d+:\d+\)?$/m, 'no stack trace');
        if (place === 'a pipe') {
          assert.ok(!output.includes(escape), output);
          if (status === 0) assert.match(stderr, /^(the list is empty\n)?$/, output);
        } else assert.doesNotMatch(stdout, /[^\r]\n/, 'lines end as in a terminal');
      }
    });
  }
});
