/** Telemetry with a sampler that follows the caller, and with messages. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { startOtlpReceiver } from '../../support/fakes/otlp/receiver.ts';
import { completeTracedTask } from '../../support/fakes/otlp/traced-task.ts';
import { isCompleted, startStack } from '../../support/stack.ts';

describe('telemetry with a parent-based sampler', () => {
  test('records only tasks of sampled callers, with messages if configured', async (t) => {
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
    await completeTracedTask(stack, 'What is 2 + 3?');
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
});
