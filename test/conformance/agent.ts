/**
 * The agent that the A2A conformance kit (a2aproject/a2a-tck) expects to meet: what it does for a message is told by
 * the prefix of the message id, as the kit's scenarios/*.feature say.
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

async function withArtifact(turn: Turn, part: Part): Promise<TurnOutcome> {
  await turn.artifact({ artifactId: 'tck', name: 'tck', parts: [part] });
  return completed;
}

async function open(): Promise<TurnOutcome> {
  return { state: 'TASK_STATE_INPUT_REQUIRED', message: 'What next?' };
}

/** The longest prefix that fits is obeyed. */
const scenarios: Record<string, (turn: Turn) => Promise<TurnOutcome>> = {
  'tck-complete-task': async () => ({ state: 'TASK_STATE_COMPLETED', message: 'Hello from TCK' }),
  'tck-artifact-text': (turn) => withArtifact(turn, { text: 'Generated text content' }),
  'tck-artifact-file': (turn) => withArtifact(turn, file),
  'tck-artifact-file-url': (turn) =>
    withArtifact(turn, {
      url: 'https://example.com/output.txt',
      filename: 'output.txt',
      mediaType: 'text/plain',
    }),
  'tck-artifact-data': (turn) => withArtifact(turn, { data: { key: 'value', count: 42 } }),
  'tck-message-response': async () => ({ direct: 'Direct message response' }),
  'tck-input-required': open,
  'tck-reject-task': async () => ({ state: 'TASK_STATE_REJECTED', message: 'rejected' }),
  'tck-stream-001': (turn) => withArtifact(turn, { text: 'Stream hello from TCK' }),
  'tck-stream-002': async () => completed,
  'tck-stream-003': (turn) => withArtifact(turn, { text: 'Stream task lifecycle' }),
  'tck-stream-ordering-001': (turn) => withArtifact(turn, { text: 'Ordered output' }),
  'tck-stream-artifact-text': (turn) => withArtifact(turn, { text: 'Streamed text content' }),
  'tck-stream-artifact-file': (turn) => withArtifact(turn, file),
  'tck-stream-artifact-chunked': async (turn) => {
    const stream = turn.openArtifact({ artifactId: 'tck' });
    stream.write({ text: 'chunk-1 ' });
    await sleep(150, undefined, { signal: turn.signal });
    stream.write({ text: 'chunk-2' });
    await stream.close();
    return completed;
  },
  // The kit for 0.3 goes on with its tasks, and cancels them: they are to be open.
  'test-': open,
  'text-message-id': open,
  'mapping-test': open,
  'cancel-test': open,
  'test-resubscribe-message-id': async (turn) => {
    await sleep(4000, undefined, { signal: turn.signal });
    return completed;
  },
};

const prefixes = Object.keys(scenarios).toSorted((a, b) => b.length - a.length);

const agent: Agent = {
  run: async (turn) => {
    const prefix = prefixes.find((one) => turn.message.messageId.startsWith(one));
    return (prefix !== undefined && (await scenarios[prefix]?.(turn))) || completed;
  },
};
export default agent;
