/** The tools of operators and coding agents, at `/mcp` and over stdio, on a real database. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { Client } from '@modelcontextprotocol/client';
import { StdioClientTransport } from '@modelcontextprotocol/client/stdio';
import { aliceKey } from '../../support/services/api-keys.ts';
import { createSuiteCleanup } from '../../support/cleanup.ts';
import type { Json, McpAnswer } from '../../support/clients/mcp.ts';
import { createTempDir } from '../../support/temp-dir.ts';
import { testChanges } from './operators/changes.ts';
import { getText, opsKey, owner, startOpsRig, type OpsRig } from './operators/rig.ts';
import { testTasks } from './operators/tasks.ts';

const cli = fileURLToPath(new URL('../../../services/cli/main.ts', import.meta.url));

describe('tools for operators', () => {
  const cleanup = createSuiteCleanup();
  let rig: OpsRig;
  before(async () => {
    rig = await startOpsRig(cleanup);
  });

  test('are listed, and may be called, with the scope operator only', async () => {
    const names = ({ result }: McpAnswer): string[] => result.tools.map(({ name }: Json) => name);
    const all = names(await rig.request('tools/list', {}));
    assert.equal(all.filter((name) => name.startsWith('ops_')).length, 13);
    const own = names(await rig.request('tools/list', {}, aliceKey));
    assert.deepEqual(
      own,
      all.filter((name) => !name.startsWith('ops_')),
    );
    const call = { name: 'ops_stats', arguments: {} };
    const refused = await rig.request('tools/call', call, aliceKey);
    assert.match(refused.error?.message ?? '', /^Unknown tool: ops_stats\. Use one of (?!.*ops_)/);
    const { action, owner: actor, result, reason, details } = rig.readAudit().at(-1);
    assert.deepEqual([action, actor, result, reason], ['POST /mcp', owner, 'refused', 403]);
    assert.deepEqual(details, { tool: 'ops_stats' });
  });

  test('name those that change something in their annotations', async () => {
    const { result } = await rig.request('tools/list', {});
    const own = result.tools.filter(({ name }: Json) => name.startsWith('ops_'));
    const destructive = own.filter(({ annotations }: Json) => annotations.destructiveHint);
    assert.deepEqual(
      destructive.map(({ name }: Json) => name),
      ['ops_redeliver', 'ops_rerun', 'ops_cancel'],
    );
    for (const { annotations, inputSchema, outputSchema } of own) {
      assert.equal(annotations.readOnlyHint, !annotations.destructiveHint);
      assert.deepEqual([inputSchema.type, outputSchema.type], ['object', 'object']);
    }
  });

  testTasks(() => rig);
  testChanges(() => rig);

  for (const [name, args, problem] of [
    ['ops_get_task', { taskId: randomUUID() }, /^task [\w-]+ was not found$/],
    ['ops_timeline', { taskId: 'nonsense' }, /^task nonsense was not found$/],
    ['ops_webhooks', { taskId: randomUUID() }, /^task [\w-]+ was not found$/],
    ['ops_timeline', {}, /^taskId is required: The id of a task\./],
    ['ops_list_tasks', { state: 'done' }, /^state must be one of submitted, .*, not "done"\.$/],
    ['ops_list_tasks', { since: 'noon' }, /^since must be a time such as .*, not "noon"\.$/],
    ['ops_list_tasks', { pageSize: 1_000 }, /^pageSize must be a whole number from 1 to 100\.$/],
    [
      'ops_work',
      { kind: 'parked', owner: 'x' },
      /^"owner" is not an argument\. ops_work has kind, pageSize\.$/,
    ],
    ['ops_cancel', { taskIds: [] }, /^taskIds must be a list of 1 to 100 strings\.$/],
    [
      'ops_read_doc',
      { page: '../package.json' },
      /^Page .* does not exist: use one of .*docs\/develop\/waits\.md/,
    ],
  ] as const) {
    test(`report that ${JSON.stringify(args).slice(0, 40)} is not valid for ${name}`, async () => {
      const result = await rig.call(name, args);
      assert.equal(result.isError, true);
      assert.match(getText(result), problem);
    });
  }

  test('count tasks, and search and read the documentation', async () => {
    await rig.send();
    const { structuredContent } = await rig.call('ops_stats', { owner });
    assert.ok(structuredContent.states.submitted > 0 && 'turnsWaiting' in structuredContent.backlog);
    const found = await rig.call('ops_search_docs', { query: 'taskPushNotificationConfig secret' });
    assert.ok(found.structuredContent.sections.length > 0);
    const page = await rig.call('ops_read_doc', { page: 'docs/use/cli.md', section: 'rerun' });
    assert.match(getText(page), /^### rerun\n/);
  });

  test('are served over stdio with logs of the stack, until the client leaves', async (t) => {
    const taskId = await rig.send();
    const dataDir = createTempDir(t);
    const time = new Date().toISOString();
    const lines = [
      { service: 'worker', time, severity: 'ERROR', message: 'the tool failed', taskId },
      { service: 'worker', time: '2020-01-01T00:00:00Z', severity: 'ERROR', message: 'old' },
      { service: 'api', time, severity: 'DEBUG', message: 'detail' },
    ];
    writeFileSync(path.join(dataDir, 'dev.log'), lines.map((line) => `${JSON.stringify(line)}\n`).join(''));
    const { PATH = '', NODE_COMPILE_CACHE = '' } = process.env;
    const transport = new StdioClientTransport({
      command: process.execPath,
      args: [cli, 'mcp', '--url', rig.api.url],
      env: {
        PATH,
        NODE_COMPILE_CACHE,
        HOME: '/nonexistent',
        LONGHAUL_API_KEY: opsKey['x-api-key'],
        DATA_DIR: dataDir,
      },
      stderr: 'pipe',
    });
    let logged = '';
    transport.stderr?.on('data', (chunk) => (logged += String(chunk)));
    const client = new Client({ name: 'test', version: '1' });
    t.after(() => client.close());
    await client.connect(transport);
    const { tools } = await client.listTools();
    assert.equal(tools.length, 15);
    const ask = async (name: string, args: Json): Promise<Json> => client.callTool({ name, arguments: args });
    const timeline = await ask('ops_timeline', { taskId });
    assert.notEqual(timeline.isError, true, getText(timeline));
    assert.equal(timeline.structuredContent.state, 'submitted');
    assert.match(getText(await ask('ops_get_task', { taskId: 'x' })), /^task x was not found$/);
    const logs = await ask('ops_logs', { since: '10m' });
    assert.deepEqual(
      logs.structuredContent.lines.map(({ message }: Json) => message),
      ['the tool failed'],
    );
    const { pid } = transport;
    await client.close();
    assert.throws(() => process.kill(pid!, 0), { code: 'ESRCH' });
    assert.match(logged, /^longhaul: tools for http/);
  });
});
