/**
 * The agent on the screenshots of the console. The first word of a message selects what it does, with steps like those
 * of real work.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Agent, Turn, TurnOutcome } from 'longhaul/agent';
import { textOf } from '#shared/domain/message.ts';
import { createApprovalPart, createApprovalRequest } from '#shared/agent/approval.ts';

const report = `## Third quarter

The quarter closed **12% above plan**. Growth came from two regions, and returns fell to 1.8%.

| Region | Revenue | Growth |
|---|---|---|
| North | 1,040,000 | 14% |
| South | 800,000 | 10% |

- Carrier costs rose by 3%, mostly in September.
- Two customers moved to yearly contracts.
`;

const agent: Agent = {
  async run(turn) {
    const [word = ''] = textOf(turn.message.parts).split(' ');
    switch (word) {
      case 'Write':
        return await writeReport(turn);
      case 'Refund':
        await work(turn, 'tool:find_order', 180);
        return askForRefund();
      case 'Compare':
        await think(turn, 420, 0.0031);
        return {
          state: 'TASK_STATE_INPUT_REQUIRED',
          message: 'Which quarter should I compare with: **Q2**, or Q3 of last year?',
        };
      case 'Import':
        await work(turn, 'tool:open_archive', 240);
        return { state: 'TASK_STATE_FAILED', message: 'The archive has no sheet named "orders".' };
      case 'Index':
        // Runs until the pictures are made.
        await work(turn, 'tool:read_catalogue', 3_600_000);
        break;
      case 'Watch':
        await work(turn, 'tool:read_stock', 160);
        await turn.sleep('until the next count', 6 * 3600);
        break;
      default:
        await think(turn, 300, 0.0012);
        await turn.artifact({ artifactId: 'answer', parts: [{ text: 'Done.' }] });
    }
    return { state: 'TASK_STATE_COMPLETED' };
  },
};
export default agent;

async function writeReport(turn: Turn): Promise<TurnOutcome> {
  await think(turn, 380, 0.0021);
  await Promise.all([work(turn, 'tool:orders_north', 520), work(turn, 'tool:orders_south', 700)]);
  await turn.sleep('cool down', 2);
  await think(turn, 640, 0.0108);
  const artifact = turn.openArtifact({ artifactId: 'report', name: 'Report Q3' });
  for (const chunk of report.split(/(?<= )/)) {
    artifact.write({ text: chunk });
    await sleep(8, undefined, { signal: turn.signal });
  }
  await artifact.close();
  const data = { quarter: 'Q3', revenue: 1_840_000, regions: { North: 0.14, South: 0.1 } };
  await turn.artifact({ artifactId: 'figures', name: 'Figures', parts: [{ data }] });
  await work(turn, 'tool:publish', 260);
  return { state: 'TASK_STATE_COMPLETED', message: 'The report is published.' };
}

function askForRefund(): TurnOutcome {
  const request = createApprovalRequest('1.1.1', 'refund_order', {
    order: '1002',
    amount: 49.9,
    currency: 'EUR',
  });
  return {
    state: 'TASK_STATE_AUTH_REQUIRED',
    message: [{ text: 'The order is eligible.' }, createApprovalPart([request])],
  };
}

async function work(turn: Turn, name: string, ms: number): Promise<void> {
  await turn.step(name, async ({ signal }) => await sleep(ms, name, { signal }));
}

async function think(turn: Turn, ms: number, cost: number): Promise<void> {
  const tokens = { prompt: Math.round(cost * 400_000), cached: 512, tool: 0, thoughts: 220, output: 480 };
  const usage = () => ({ model: 'gemini-2.5-flash', tokens, cost });
  await turn.step('model', async ({ signal }) => await sleep(ms, null, { signal }), { usage });
}
