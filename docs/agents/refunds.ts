import { defineAgent, FatalError, textOf } from 'longhaul/agent';
import { pay, readOrder, sendMail } from './refunds-services.ts';

export default defineAgent({
  definition: { name: 'Refunds', description: 'Refunds an order once a person has approved it.' },
  async run(turn) {
    const [id] = /\d+/.exec(textOf(turn.message.parts)) ?? [];
    if (id === undefined) throw new FatalError('The message names no order.');
    const { price } = await turn.step('read order', ({ signal }) => readOrder(id, signal));

    const approval = await turn.callback('approval', { timeoutSeconds: 86_400 });
    await turn.step('ask', ({ idempotencyKey }) => sendMail(`Approve at ${approval.url}`, idempotencyKey));
    const answer = await approval.result; // no worker is held until someone posts JSON to the URL
    if (answer.status === 'timed_out')
      return { state: 'TASK_STATE_FAILED', message: 'No answer came within a day.' };

    // Added later: turns that have passed this point without the wait continue without it.
    if (await turn.version('cool down')) await turn.sleep('cool down', 600);

    await turn.step('refund', ({ idempotencyKey, signal }) => pay(price, idempotencyKey, signal), {
      retries: 3,
      timeoutSeconds: 30,
      sideEffects: true,
    });
    await turn.artifact({ artifactId: 'receipt', parts: [{ text: `Refunded ${price}.` }] });
    return { state: 'TASK_STATE_COMPLETED' };
  },
});
