/**
 * An agent that writes much. The text of a message is its command:
 *
 *   texts COUNT BYTES [1]  writes artifacts of text. With 1, it then asks for input
 *   data COUNT BYTES       writes artifacts of data
 *   stream BYTES           streams text into one artifact, in pieces of 40,000 characters
 *   say BYTES              reports progress and completes, each with a text
 *   head BYTES             writes an artifact whose metadata is large
 *   recall                 completes with the texts of the history, shortened, files included
 */
import type { Agent, Turn, TurnOutcome } from 'longhaul/agent';
import { textOf, type Part } from '#shared/domain/message.ts';

const agent: Agent = {
  async run(turn) {
    const [command = '', ...numbers] = textOf(turn.message.parts).split(' ');
    return (await runCommand(turn, command, numbers.map(Number))) ?? { state: 'TASK_STATE_COMPLETED' };
  },
};
export default agent;

async function runCommand(turn: Turn, command: string, numbers: number[]): Promise<TurnOutcome | undefined> {
  const [first = 0, second = 0, third] = numbers;
  switch (command) {
    case 'texts':
      await writeArtifacts(turn, first, { text: 'x'.repeat(second) });
      return third === 1 ? { state: 'TASK_STATE_INPUT_REQUIRED', message: 'More?' } : undefined;
    case 'data':
      await writeArtifacts(turn, first, { data: { text: 'x'.repeat(second) } });
      return undefined;
    case 'stream': {
      const stream = turn.openArtifact({ artifactId: 'streamed' });
      for (let written = 0; written < first; written += 40_000) {
        stream.write({ text: 'x'.repeat(Math.min(40_000, first - written)) });
      }
      await stream.close();
      return undefined;
    }
    case 'say': {
      const text = 'x'.repeat(first);
      await turn.progress(text);
      return { state: 'TASK_STATE_COMPLETED', message: text };
    }
    case 'head':
      await turn.artifact({ artifactId: 'a', parts: [{ text: '' }], metadata: { text: 'x'.repeat(first) } });
      return undefined;
    case 'recall': {
      const seen: string[] = [];
      const { entries } = await turn.readHistory();
      for (const { role, parts } of entries) {
        for (const part of parts) if (role === 'agent') seen.push(await describe(turn, part));
      }
      return { state: 'TASK_STATE_COMPLETED', message: seen.join(', ') };
    }
    default:
      return undefined;
  }
}

async function writeArtifacts(turn: Turn, count: number, part: Part): Promise<void> {
  const ids = Array.from({ length: count }, (_, index) => `artifact-${turn.number}-${index}`);
  await Promise.all(ids.map((artifactId) => turn.artifact({ artifactId, parts: [part] })));
}

async function describe(turn: Turn, { text, url = '' }: Part): Promise<string> {
  if (text !== undefined) return `text of ${text.length}`;
  const file = await turn.readFile(url);
  return `${file?.mediaType} of ${file?.content.length}`;
}
