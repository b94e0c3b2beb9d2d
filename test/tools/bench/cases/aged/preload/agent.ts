/**
 * The agent of the templates: it records what a small research task records. The text of the message selects a variant:
 * `ask` asks once before it starts, `more` takes two steps and reports progress, and `fail` fails.
 */
import type { Agent } from 'longhaul/agent';
import { textOf } from '#shared/domain/message.ts';

const agent: Agent = {
  run: async (turn) => {
    const [word] = textOf(turn.message.parts).split(' ');
    if (word === 'ask')
      return { state: 'TASK_STATE_INPUT_REQUIRED', message: 'Which of the two regions do you mean?' };
    const found = await turn.step('search', async () => findDocuments(turn.message.parts.length));
    if (word === 'fail')
      return { state: 'TASK_STATE_FAILED', message: 'The archive has no document of that year.' };
    if (word === 'more') {
      await turn.progress('Reading 4 documents');
      await turn.step('read', async () => ({ pages: found.length, excerpt: sentence.repeat(3) }));
    }
    await turn.artifact({
      artifactId: 'report',
      name: 'Report',
      parts: [{ text: `# Findings\n\n${sentence.repeat(3)}` }],
    });
    return { state: 'TASK_STATE_COMPLETED', message: `The report lists ${found.length} documents.` };
  },
};
export default agent;

const sentence =
  'The measured values of the second quarter agree with the forecast, apart from two stations in the north. ';

function findDocuments(parts: number) {
  return Array.from({ length: 3 + parts }, (_, at) => ({
    id: `doc-${4_711 + at}`,
    title: `Annual survey, part ${at + 1}`,
    score: 0.91 - at / 10,
  }));
}
