/**
 * The telemetry of one task, from its caller's own trace to its webhook, as an OTLP collector receives it
 * (docs/operate/observability.md).
 */
import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { gauges, instruments } from '#shared/runtime/instruments.ts';
import { writeAgentFile } from '../support/agents/definition.ts';
import { createSuiteCleanup } from '../support/cleanup.ts';
import { startMcpServer } from '../support/fakes/mcp-server.ts';
import { startOtlpReceiver, type OtlpReceiver, type ReceivedSpan } from '../support/fakes/otlp/receiver.ts';
import { caller, completeTracedTask } from '../support/fakes/otlp/traced-task.ts';
import { startStack, type RunningService } from '../support/stack.ts';
import { startReceiver, type Receiver } from '../support/webhooks/receiver.ts';

const text = 'use the tool get-sum with {"a": 20, "b": 22}';

describe('the telemetry of a task', { timeout: 150_000 }, () => {
  const cleanup = createSuiteCleanup();
  let collector: OtlpReceiver;
  let webhook: Receiver;
  let worker: RunningService;
  let taskId: string;
  before(async () => {
    const [otlp, server, receiver] = await Promise.all([
      startOtlpReceiver(cleanup),
      startMcpServer(cleanup),
      startReceiver(cleanup),
    ]);
    collector = otlp;
    webhook = receiver;
    const agentFile = writeAgentFile(cleanup, { mcpServers: { all: { url: server.url } } });
    const stack = await startStack(cleanup, {
      AGENT_FILE: agentFile,
      OTEL_EXPORTER_OTLP_ENDPOINT: collector.url,
      OTEL_EXPORTER_OTLP_HEADERS: 'x-collector-key=sesame',
      OTEL_BSP_SCHEDULE_DELAY: '50',
      OTEL_METRIC_EXPORT_INTERVAL: '500',
      // On a busy machine the reconciler would publish wake-ups again.
      RECONCILE_SECONDS: '3600',
    });
    [, worker] = await Promise.all([stack.start('api'), stack.start('worker'), stack.start('dispatcher')]);
    taskId = await completeTracedTask(stack, text, webhook.url);
    // Each process exports its own spans in its own time.
    const counts = { SendMessage: 1, 'send longhaul-turns': 1, 'process longhaul-turns': 1, 'step model': 2 };
    await collector.until(
      () =>
        Object.entries(counts).every(([name, count]) => getSpans(name).length >= count) &&
        getSpans('POST webhook').some(({ attributes }) => attributes['longhaul.event'] === 1) &&
        getLastWebhook() !== undefined,
    );
  });

  function getSpans(name: string): ReceivedSpan[] {
    return collector.spans.filter((span) => span.name === name);
  }

  function getSpan(name: string): ReceivedSpan {
    const [span, ...others] = getSpans(name);
    assert.ok(span !== undefined && others.length === 0, `${name}: ${others.length + 1} spans`);
    return span;
  }

  /** The number of the event with the completed task. */
  function getLastEvent(): number | undefined {
    const completed = webhook.received.find(({ body }) => body.includes('TASK_STATE_COMPLETED'));
    return completed === undefined ? undefined : Number(completed.headers['longhaul-event']);
  }

  function getLastWebhook(): ReceivedSpan | undefined {
    const lastEvent = getLastEvent();
    return getSpans('POST webhook').find(({ attributes }) => attributes['longhaul.event'] === lastEvent);
  }

  const toLink = ({ traceId, spanId }: { traceId: string; spanId: string }) => ({ traceId, spanId });
  const assertChild = (span: ReceivedSpan, parent: { traceId: string; spanId: string }): void =>
    assert.deepEqual([span.traceId, span.parentSpanId], [parent.traceId, parent.spanId], span.name);

  test('has a send span in the trace of its caller, and a wake-up span in the send', () => {
    const send = getSpan('SendMessage');
    assert.deepEqual([send.service, send.kind], ['longhaul-api', 'SERVER']);
    assertChild(send, caller);
    assert.equal(send.attributes['longhaul.task.id'], taskId);
    const wakeup = getSpan('send longhaul-turns');
    assert.equal(wakeup.kind, 'PRODUCER');
    assertChild(wakeup, send);
    assert.deepEqual(wakeup.links, []);
  });

  test('has a turn span that starts a trace, linked to the wake-up and the send', () => {
    const turn = getSpan('process longhaul-turns');
    assert.deepEqual([turn.service, turn.kind, turn.parentSpanId], ['longhaul-worker', 'CONSUMER', '']);
    assert.notEqual(turn.traceId, caller.traceId);
    assert.deepEqual(turn.links, [toLink(getSpan('send longhaul-turns')), toLink(getSpan('SendMessage'))]);
    assert.equal(turn.attributes['longhaul.turn.end'], 'TASK_STATE_COMPLETED');
    assert.equal(turn.attributes['messaging.system'], 'gcp_pubsub');
  });

  test('has a span for each step in the turn, and one for its model or tool call', () => {
    const turn = getSpan('process longhaul-turns');
    const models = getSpans('step model');
    assert.equal(models.length, 2);
    const tool = getSpan('step tool:get-sum');
    for (const step of [...models, tool]) assertChild(step, turn);
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
    const call = getSpan('execute_tool get-sum');
    assertChild(call, tool);
    assert.equal(call.attributes['gen_ai.tool.name'], 'get-sum');
  });

  test('has a trace for each webhook, linked to its event', () => {
    const last = getLastWebhook();
    assert.ok(last !== undefined);
    assert.deepEqual([last.service, last.kind, last.parentSpanId], ['longhaul-dispatcher', 'CLIENT', '']);
    assert.equal(last.attributes['longhaul.webhook.outcome'], 'delivered');
    // A Cloud Task that requested it is linked before.
    assert.deepEqual(last.links.at(-1), toLink(getSpan('process longhaul-turns')));
    const first = getSpans('POST webhook').find(({ attributes }) => attributes['longhaul.event'] === 1);
    assert.deepEqual(first?.links.at(-1), toLink(getSpan('SendMessage')));
  });

  test('reaches the webhook receiver as a traceparent', () => {
    const last = getLastWebhook();
    assert.ok(last !== undefined);
    const event = getLastEvent();
    const received = webhook.received.find(({ headers }) => Number(headers['longhaul-event']) === event);
    assert.equal(received?.headers['traceparent'], `00-${last.traceId}-${last.spanId}-01`);
  });

  test('contains neither prompts nor failures', () => {
    const spans = JSON.stringify(collector.spans);
    assert.ok(!spans.includes('use the tool') && !spans.includes('The sum of'));
    assert.deepEqual(
      collector.spans.filter(({ failed }) => failed),
      [],
    );
  });

  test('is exported with the configured headers', () => {
    assert.ok(collector.headers.every((headers) => headers['x-collector-key'] === 'sesame'));
  });

  test('has log lines that name their span in the form of Cloud Logging', async () => {
    const turn = getSpan('process longhaul-turns');
    const [line] = await worker.running.line(/.*turn ended.*/);
    const logged = JSON.parse(line) as Record<string, unknown>;
    assert.equal(logged['severity'], 'INFO');
    assert.equal(logged['logging.googleapis.com/trace'], `projects/longhaul-test/traces/${turn.traceId}`);
    assert.equal(logged['logging.googleapis.com/spanId'], turn.spanId);
    assert.equal(logged['logging.googleapis.com/trace_sampled'], true);
  });

  test('has every documented metric in its unit, and no other', async () => {
    const known = new Set([...Object.values(instruments), ...Object.values(gauges)].map(({ name }) => name));
    const { turnsParked, leasesLost, reconcilerFound, ownerRefusals, apiRefused, webhooksDeferred } =
      instruments;
    const { scheduleFirings, scheduleDelay, modelCallsRepeated, outputDelay } = instruments;
    const expected = new Set(known);
    const unused = [turnsParked, leasesLost, reconcilerFound, ownerRefusals, apiRefused, webhooksDeferred];
    for (const { name } of [...unused, scheduleFirings, scheduleDelay, modelCallsRepeated, outputDelay])
      expected.delete(name);
    await collector.until(() =>
      [...expected].every((name) => collector.metrics.some((metric) => metric.name === name)),
    );
    assert.deepEqual(
      collector.metrics.filter(({ name }) => !known.has(name)),
      [],
    );
    for (const { name, unit, kind } of collector.metrics) {
      if (kind === 'histogram') assert.equal(unit, name === instruments.modelTokens.name ? '{token}' : 's');
    }
  });
});
