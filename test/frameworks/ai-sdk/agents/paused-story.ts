/** The story, which stops after twenty words until the file TEST_GATE exists. */
import { existsSync } from 'node:fs';
import { waitFor } from '../../../support/wait-for.ts';
import { createStoryAgent, story } from './story.ts';

const gateFile = process.env['TEST_GATE'] ?? '';
const wordsBefore = 20;

/** The text before the gate. */
export const firstHalf = story.split(' ').slice(0, wordsBefore).join(' ');

export default createStoryAgent({
  onWord: async (index) => {
    if (index === wordsBefore) await waitFor('the gate', () => existsSync(gateFile), { everyMs: 20 });
  },
});
