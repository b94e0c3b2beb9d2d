/** The smallest valid agent definition, for tests of agents. */
import type { JsonObject } from '#shared/domain/message.ts';

export const minimalDefinition: JsonObject = {
  name: 'Test',
  description: 'Tests.',
  version: '1',
  skills: [{ id: 'a', name: 'A', description: 'Does a.', tags: [] }],
  instruction: 'Be brief.',
};
