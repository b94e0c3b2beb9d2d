/** One task, from its caller's own trace to its webhook, as a collector of OTLP sees it: docs/observability.md draws it. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { gauges, instruments } from '#shared/runtime/instruments.ts';
import { startMcpServer } from '../support/fakes/mcp-server.ts';
import { startOtlpReceiver, type ReceivedSpan } from '../support/otlp/receiver.ts';
import { startReceiver } from '../support/webhooks/receiver.ts';
import { isCompleted, startStack, type Stack } from '../support/stack.ts';

const caller = { traceId: 'ab'.repeat(16), spanId: 'cd'.repeat(8) };
const secretText = 'use the tool get-sum with {"a": 20, "b": 22}';

async function submit(stack: Stack, text: string, url?: string): Promise<string> {
  const { result, error } = await stack.rpc(
    'SendMessage',
    {
      message: { messageId: randomUUID(), role: 'ROLE_USER', parts: [{ text }] },
      configuration: {
        returnImmediately: true,
        ...(url !== undefined && { taskPushNotificationConfig: { id: 'one', url } }),
      },
    },
    { traceparent: `00-${caller.traceId}-${caller.spanId}-01` },
  );
  assert.equal(error, undefined);
  await stack.until(result.task.id, isCompleted);
  return result.task.id;
}

test('the spans and links of a task', { timeout: 150_000 }, async (t) => {
  const [collector, server, webhook] = await Promise.all([
    startOtlpReceiver(t),
    startMcpServer(t),
    startReceiver(t),
  ]);
  const agentFile = path.join(mkdtempSync(path.join(tmpdir(), 'longhaul-test-agent-')), 'agent.yaml');
  writeFileSync(
    agentFile,
    `name: Adder
description: Adds.
version: "1"
skills: [{ id: add, name: Add, description: Adds., tags: [] }]
instruction: Add.
mcpServers: { all: { url: "${server.url}" } }
`,
  );
  const stack = await startStack(t, {
    AGENT_FILE: agentFile,
    OTEL_EXPORTER_OTLP_ENDPOINT: collector.url,
    OTEL_EXPORTER_OTLP_HEADERS: 'x-collector-key=sesame',
    OTEL_BSP_SCHEDULE_DELAY: '50',
    OTEL_METRIC_EXPORT_INTERVAL: '500',
    // A machine under load would have wakeups rung twice.
    RECONCILE_SECONDS: '3600',
  });
  const [, worker] = await Promise.all([
    stack.start('api'),
    stack.start('worker'),
    stack.start('dispatcher'),
  ]);
  const taskId = await submit(stack, secretText, webhook.url);
  const ofTask = (name: string): ReceivedSpan[] => collector.spans.filter((span) => span.name === name);
  const completed = (): ReceivedSpan | undefined =>
    ofTask('POST webhook').find(({ attributes }) => attributes['longhaul.event'] === lastEvent());
  const lastEvent = (): number | undefined =>
    webhook.received
      .filter(({ body }) => body.includes('TASK_STATE_COMPLETED'))
      .map(({ headers }) => Number(headers['longhaul-event']))[0];
  // Each process tells of its own when it comes to it.
  const counts = { SendMessage: 1, 'send longhaul-turns': 1, 'process longhaul-turns': 1, 'step model': 2 };
  await collector.until(
    () =>
      Object.entries(counts).every(([name, count]) => ofTask(name).length >= count) &&
      ofTask('POST webhook').some(({ attributes }) => attributes['longhaul.event'] === 1) &&
      ofTask('send longhaul-webhooks').some(({ spanId }) => spanId === completed()?.links[0]?.spanId),
  );

  const only = (name: string): ReceivedSpan => {
    const [span, ...others] = ofTask(name);
    assert.ok(span !== undefined && others.length === 0, `${name}: ${others.length + 1} spans`);
    return span;
  };
  const at = ({ traceId, spanId }: { traceId: string; spanId: string }) => ({ traceId, spanId });
  const isChildOf = (span: ReceivedSpan, parent: { traceId: string; spanId: string }): void =>
    assert.deepEqual([span.traceId, span.parentSpanId], [parent.traceId, parent.spanId], span.name);

  await t.test('the send is a child of the caller’s span, and its wakeup a child of the send', () => {
    const send = only('SendMessage');
    assert.deepEqual([send.service, send.kind], ['longhaul-api', 'SERVER']);
    isChildOf(send, caller);
    assert.equal(send.attributes['longhaul.task.id'], taskId);
    const wakeup = only('send longhaul-turns');
    assert.equal(wakeup.kind, 'PRODUCER');
    isChildOf(wakeup, send);
    assert.deepEqual(wakeup.links, []);
  });

  await t.test('the turn begins a trace, linked to the wakeup and to the send', () => {
    const turn = only('process longhaul-turns');
    assert.deepEqual([turn.service, turn.kind, turn.parentSpanId], ['longhaul-worker', 'CONSUMER', '']);
    assert.notEqual(turn.traceId, caller.traceId);
    assert.deepEqual(turn.links, [at(only('send longhaul-turns')), at(only('SendMessage'))]);
    assert.equal(turn.attributes['longhaul.turn.end'], 'TASK_STATE_COMPLETED');
    assert.equal(turn.attributes['messaging.system'], 'gcp_pubsub');
  });

  await t.test('each step is a child of the turn, with its call of the model or the tool', () => {
    const turn = only('process longhaul-turns');
    const models = ofTask('step model');
    assert.equal(models.length, 2);
    const tool = only('step tool:get-sum');
    for (const step of [...models, tool]) isChildOf(step, turn);
    const calls = collector.spans.filter(({ name }) => name.startsWith('generate_content '));
    assert.deepEqual(
      calls.map(({ parentSpanId }) => parentSpanId).sort(),
      models.map(({ spanId }) => spanId).sort(),
    );
    for (const { kind, attributes } of calls) {
      assert.equal(kind, 'CLIENT');
      assert.equal(attributes['gen_ai.operation.name'], 'generate_content');
      assert.equal(attributes['gen_ai.provider.name'], 'gcp.gemini');
      assert.ok(Number(attributes['gen_ai.usage.input_tokens']) > 0);
      assert.ok(Number(attributes['gen_ai.usage.output_tokens']) > 0);
      assert.deepEqual(attributes['gen_ai.response.finish_reasons'], ['STOP']);
    }
    const call = only('execute_tool get-sum');
    isChildOf(call, tool);
    assert.equal(call.attributes['gen_ai.tool.name'], 'get-sum');
  });

  await t.test(
    'each webhook begins a trace, linked to the span that asked for it, and carries its own',
    () => {
      const turn = only('process longhaul-turns');
      const hook = completed();
      assert.ok(hook !== undefined);
      assert.deepEqual([hook.service, hook.kind, hook.parentSpanId], ['longhaul-dispatcher', 'CLIENT', '']);
      assert.equal(hook.attributes['longhaul.webhook.outcome'], 'delivered');
      // The attempt may go on with a queue for which an earlier event had asked.
      const [asked, wrote] = hook.links;
      assert.ok(ofTask('send longhaul-webhooks').some((span) => span.spanId === asked?.spanId));
      assert.deepEqual(wrote, at(turn));
      const first = ofTask('POST webhook').find(({ attributes }) => attributes['longhaul.event'] === 1);
      assert.deepEqual(first?.links[1], at(only('SendMessage')));
      const sent = webhook.received.find(({ headers }) => Number(headers['longhaul-event']) === lastEvent());
      assert.equal(sent?.headers['traceparent'], `00-${hook.traceId}-${hook.spanId}-01`);
    },
  );

  await t.test('nothing of what was said is in a span, and nothing has failed', () => {
    const told = JSON.stringify(collector.spans);
    assert.ok(!told.includes('use the tool') && !told.includes('The sum of'));
    assert.deepEqual(
      collector.spans.filter(({ failed }) => failed),
      [],
    );
    assert.ok(collector.headers.every((headers) => headers['x-collector-key'] === 'sesame'));
  });

  await t.test('a line of the log names its span, in the form of Cloud Logging', async () => {
    const turn = only('process longhaul-turns');
    const [line] = await worker.running.line(/.*turn ended.*/);
    const logged = JSON.parse(line) as Record<string, unknown>;
    assert.equal(logged['severity'], 'INFO');
    assert.equal(logged['logging.googleapis.com/trace'], `projects/longhaul-test/traces/${turn.traceId}`);
    assert.equal(logged['logging.googleapis.com/spanId'], turn.spanId);
    assert.equal(logged['logging.googleapis.com/trace_sampled'], true);
  });

  await t.test('the metrics are those of the table, in their units', async () => {
    const quiet = [instruments.turnsParked, instruments.leasesLost, instruments.reconcilerFound];
    const loud = [...Object.values(instruments), ...Object.values(gauges)]
      .map(({ name }) => name)
      .filter((name) => quiet.every((one) => one.name !== name));
    await collector.until(() => loud.every((name) => collector.metrics.some((one) => one.name === name)));
    const known = new Set([...Object.values(instruments), ...Object.values(gauges)].map(({ name }) => name));
    assert.deepEqual(
      collector.metrics.filter(({ name }) => !known.has(name)),
      [],
    );
    for (const { name, unit, kind } of collector.metrics) {
      if (kind === 'histogram') assert.equal(unit, name === instruments.modelTokens.name ? '{token}' : 's');
    }
  });
});

test('without a sampled caller nothing is recorded; what was said is, where that is asked for', async (t) => {
  const collector = await startOtlpReceiver(t);
  const stack = await startStack(t, {
    OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: `${collector.url}/v1/traces`,
    OTEL_TRACES_SAMPLER: 'parentbased_always_off',
    OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT: 'true',
    OTEL_BSP_SCHEDULE_DELAY: '50',
  });
  await Promise.all([stack.start('api'), stack.start('worker')]);
  const { id } = await stack.submit('What is 20 + 22?');
  await stack.until(id, isCompleted);
  await submit(stack, 'What is 2 + 3?');
  await collector.until(() => collector.spans.some(({ name }) => name === 'process longhaul-turns'));
  const tasks = collector.spans.flatMap(({ attributes }) => attributes['longhaul.task.id'] ?? []);
  assert.ok(!tasks.includes(id));
  const call = collector.spans.find(({ name }) => name.startsWith('generate_content '));
  assert.deepEqual(JSON.parse(String(call?.attributes['gen_ai.input.messages'])), [
    { role: 'user', parts: [{ type: 'text', content: 'What is 2 + 3?' }] },
  ]);
  assert.match(String(call?.attributes['gen_ai.output.messages']), /"assistant".*5/);
  assert.deepEqual(collector.metrics, []);
});
