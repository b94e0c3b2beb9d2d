/** Calls of the model at Google (the offline model): how soon their turns continue when a webhook reports their end. */
import { setTimeout as sleep } from 'node:timers/promises';
import { writeAgentFile } from '../../../support/agents/definition.ts';
import { createCleanup } from '../../../support/cleanup.ts';
import { waitFor } from '../../../support/wait-for.ts';
import { getPercentile } from '../../percentile.ts';
import { withRig, type Rig } from '../rig.ts';
import { ms, polling, type BenchCase } from '../rounds.ts';

const samples = 200;
/** Long enough that the turn is suspended, and shorter than the time to the first poll. */
const callMs = 500;

export const geminiCase: BenchCase = async () => {
  const cleanup = createCleanup();
  try {
    const model = { name: 'gemini-3.8-flash', api: 'interactions', background: 'always' };
    const agent = { AGENT_MODULE: '', AGENT_FILE: writeAgentFile(cleanup, { model, tools: [] }) };
    return await withRig(async (rig) => {
      const keys = { GEMINI_WEBHOOK_JWKS_URL: `${rig.stack.model.url}/.well-known/jwks.json` };
      const url = new URL(rig.stack.env['PUBLIC_URL'] ?? '');
      await rig.service('worker', agent);
      await rig.service('api', { ...agent, ...keys, PORT: url.port });
      rig.stack.model.script([{ match: 'call', reactions: [{ delayMs: callMs }], repeat: true }]);
      const times: number[] = [];
      for (let sample = 0; sample < samples; sample += 1) times.push(await measureCall(rig));
      const sorted = times.toSorted((a, b) => a - b);
      const getSample = (share: number): number => getPercentile(sorted, share) ?? Number.NaN;
      return [
        ms("end of a call at Google to the agent's next line, p50", getSample(0.5), 15),
        ms("end of a call at Google to the agent's next line, p99", getSample(0.99), 60),
      ];
    });
  } finally {
    await cleanup.run();
  }
};

/** One task at a time. The record of the end is what the agent continues after. */
async function measureCall({ stack }: Rig): Promise<number> {
  const { id } = await stack.submit('call');
  await sleep(callMs);
  const { rows } = await waitFor(
    'the end',
    async () => {
      const found = await stack.pool.query<{ call: string; ended: number }>(
        `select created.interaction as call, extract(epoch from wait.finished_at)::float8 * 1000 as ended
         from steps wait join steps created on created.task_id = wait.task_id and created.name = 'interaction'
         where wait.task_id = $1 and wait.name = 'interaction-wait' and wait.finished_at is not null`,
        [id],
      );
      return found.rows.length > 0 && found;
    },
    polling,
  );
  const [{ call, ended } = { call: '', ended: Number.NaN }] = rows;
  const found = stack.model.interactions.list().find(({ id: interaction }) => interaction === call);
  return ended - Date.parse(found?.updated ?? '');
}
