/** The spans of the AI SDK are below that of the turn, and above those of its steps: with the SDK of OpenTelemetry. */
import assert from 'node:assert/strict';
import { beforeEach, describe, test } from 'node:test';
import {
  InMemorySpanExporter,
  NodeTracerProvider,
  SimpleSpanProcessor,
  type ReadableSpan,
} from '@opentelemetry/sdk-trace-node';
import * as ai from 'ai';
import { defineAgent, type Agent } from 'longhaul/agent';
import { durable } from 'longhaul/ai-sdk';
import { createTask, type RunOptions, type TestTask } from 'longhaul/testing';
import { z } from 'zod';
import { databaseNow } from '#shared/runtime/clock.ts';
import { inTurnSpan } from '#services/worker/turn/spans.ts';
import { createModel } from './scripted-model.ts';
import { major } from './version.ts';

const exporter = new InMemorySpanExporter();
new NodeTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] }).register();
// Before version 7, the AI SDK creates the spans itself.
if (major >= 7) {
  const { OpenTelemetry } = await import('@ai-sdk/otel');
  ai.registerTelemetry(new OpenTelemetry());
}
beforeEach(() => exporter.reset());

const replayed = 'longhaul.step.replayed';
/** The names of the AI SDK's spans of a call of a model: version 7, and those before. */
const modelSpan = /^chat |\.do(?:Generate|Stream)$/;
const toolSpan = /^execute_tool |^ai\.toolCall$/;

function createAgent(kind: 'generate' | 'stream'): Agent {
  const scripted = createModel({
    reply: (earlier) =>
      earlier === 0 ? { toolCalls: [{ id: 'a', name: 'time', input: {} }] } : { text: 'It is noon.' },
  });
  return defineAgent({
    run: (turn) => {
      const { model, tools, run } = durable(turn);
      const time = ai.tool({ inputSchema: z.object({}), execute: async () => 'noon' });
      const settings = {
        model: model(scripted),
        tools: tools({ time }),
        stopWhen: ai.stepCountIs(3),
        ...(major < 7 && { experimental_telemetry: { isEnabled: true } }),
      };
      return run(({ messages }) =>
        kind === 'stream'
          ? ai.streamText({ ...settings, messages })
          : ai.generateText({ ...settings, messages }),
      );
    },
  });
}

/** Runs the turn in a span, as a worker does. */
async function runInSpan(task: TestTask, options?: RunOptions): Promise<void> {
  const claimed = { lease: { taskId: task.id, turn: 1, fence: 1 }, attempts: 1 };
  const source = { topic: 'turns', subscription: 'workers' };
  await inTurnSpan(claimed, { at: databaseNow(), traceparent: undefined }, source, async () => {
    const { end } = await task.run(options);
    return end;
  });
}

function getSpans(name: RegExp): ReadableSpan[] {
  return exporter.getFinishedSpans().filter((span) => name.test(span.name));
}

function getParent(span: ReadableSpan): ReadableSpan | undefined {
  const id = span.parentSpanContext?.spanId;
  return exporter.getFinishedSpans().find((other) => other.spanContext().spanId === id);
}

/** The names of the spans above, up to the root. */
function getPath(span: ReadableSpan): string[] {
  const parent = getParent(span);
  return parent === undefined ? [] : [parent.name, ...getPath(parent)];
}

for (const kind of ['generate', 'stream'] as const) {
  describe(`telemetry of ${kind}Text`, () => {
    test('nests under the span of the turn, with the steps below it', async () => {
      const task = createTask(createAgent(kind), 'What time is it?');
      await runInSpan(task);
      assert.equal(task.state, 'TASK_STATE_COMPLETED', task.messageText);
      const models = getSpans(/^step model$/);
      assert.equal(models.length, 2);
      for (const span of models) {
        const path = getPath(span);
        assert.match(path[0] ?? '', modelSpan);
        assert.equal(path.at(-1), 'process turns');
        assert.equal(getParent(span)?.attributes[replayed], undefined);
      }
      const [tool, ...others] = getSpans(/^step tool:time$/);
      assert.deepEqual(others, []);
      assert.ok(tool);
      assert.match(getPath(tool)[0] ?? '', toolSpan);
      assert.equal(getPath(tool).at(-1), 'process turns');
      assert.equal(new Set(exporter.getFinishedSpans().map((span) => span.spanContext().traceId)).size, 1);
    });

    test('marks the spans of calls that are replayed, which have no step', async () => {
      const task = createTask(createAgent(kind), 'What time is it?');
      await runInSpan(task, { crashAfter: 'tool:time' });
      exporter.reset();
      await runInSpan(task);
      assert.equal(task.state, 'TASK_STATE_COMPLETED', task.messageText);
      const steps = getSpans(/^step [a-z]/).map(({ name }) => name);
      assert.deepEqual(steps, ['step model', 'step messages']);
      const marks = getSpans(modelSpan).map(({ attributes }) => attributes[replayed]);
      assert.deepEqual(marks, [true, undefined]);
      assert.deepEqual(
        getSpans(toolSpan).map(({ attributes }) => attributes[replayed]),
        [true],
      );
      assert.deepEqual(
        getSpans(/^process /).map(({ attributes }) => attributes[replayed]),
        [undefined],
      );
    });
  });
}
