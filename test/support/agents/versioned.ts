/** An agent whose steps have other names in each version: a turn of one version cannot be continued by another. */
import { setTimeout as sleep } from 'node:timers/promises';
import { defineAgent } from 'longhaul/agent';

const version = process.env['TEST_AGENT_VERSION'] ?? '1';

export default defineAgent({
  version,
  async run(turn) {
    for (const name of ['first', 'second', 'third']) {
      await turn.step(`${name} of ${version}`, async ({ signal }) => sleep(200, undefined, { signal }));
      // Releases the turn: another claim continues it.
      await turn.sleep(`after ${name} of ${version}`, 0.3);
    }
    return { state: 'TASK_STATE_COMPLETED', message: `by version ${version}` };
  },
});
