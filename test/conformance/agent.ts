/**
 * The agent that the A2A conformance kit (a2aproject/a2a-tck) expects. The prefix of a message id selects its behaviour,
 * as the kit defines in scenarios/*.feature.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Agent, Turn, TurnOutcome } from 'longhaul/agent';
import type { Part } from '#shared/domain/message.ts';

const completed: TurnOutcome = { state: 'TASK_STATE_COMPLETED' };
const file: Part = {
  raw: Buffer.from('file content').toString('base64'),
  filename: 'output.txt',
  mediaType: 'text/plain',
};

async function completeWithArtifact(turn: Turn, part: Part): Promise<TurnOutcome> {
  await turn.artifact({ artifactId: 'tck', name: 'tck', parts: [part] });
  return completed;
}

async function requestInput(): Promise<TurnOutcome> {
  return { state: 'TASK_STATE_INPUT_REQUIRED', message: 'What next?' };
}

/** The longest matching prefix applies. */
const scenarios: Record<string, (turn: Turn) => Promise<TurnOutcome>> = {
  'tck-complete-task': async () => ({ state: 'TASK_STATE_COMPLETED', message: 'Hello from TCK' }),
  'tck-artifact-text': (turn) => completeWithArtifact(turn, { text: 'Generated text content' }),
  'tck-artifact-file': (turn) => completeWithArtifact(turn, file),
  'tck-artifact-file-url': (turn) =>
    completeWithArtifact(turn, {
      url: 'https://example.com/output.txt',
      filename: 'output.txt',
      mediaType: 'text/plain',
    }),
  'tck-artifact-data': (turn) => completeWithArtifact(turn, { data: { key: 'value', count: 42 } }),
  'tck-message-response': async () => ({ direct: 'Direct message response' }),
  'tck-input-required': requestInput,
  'tck-reject-task': async () => ({ state: 'TASK_STATE_REJECTED', message: 'rejected' }),
  'tck-stream-001': (turn) => completeWithArtifact(turn, { text: 'Stream hello from TCK' }),
  'tck-stream-002': async () => completed,
  'tck-stream-003': (turn) => completeWithArtifact(turn, { text: 'Stream task lifecycle' }),
  'tck-stream-ordering-001': (turn) => completeWithArtifact(turn, { text: 'Ordered output' }),
  'tck-stream-artifact-text': (turn) => completeWithArtifact(turn, { text: 'Streamed text content' }),
  'tck-stream-artifact-file': (turn) => completeWithArtifact(turn, file),
  'tck-stream-artifact-chunked': async (turn) => {
    const stream = turn.openArtifact({ artifactId: 'tck' });
    stream.write({ text: 'chunk-1 ' });
    await sleep(150, undefined, { signal: turn.signal });
    stream.write({ text: 'chunk-2' });
    await stream.close();
    return completed;
  },
  // The kit for 0.3 continues and cancels these tasks, so they must not be terminal.
  'test-': requestInput,
  'text-message-id': requestInput,
  'mapping-test': requestInput,
  'cancel-test': requestInput,
  'test-resubscribe-message-id': async (turn) => {
    await sleep(4000, undefined, { signal: turn.signal });
    return completed;
  },
};

const prefixes = Object.keys(scenarios).toSorted((a, b) => b.length - a.length);

const agent: Agent = {
  run: async (turn) => {
    const prefix = prefixes.find((candidate) => turn.message.messageId.startsWith(candidate));
    return (prefix !== undefined && (await scenarios[prefix]?.(turn))) || completed;
  },
};
export default agent;
