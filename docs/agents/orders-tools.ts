/**
 * Tools in code for orders.yaml. A real module would call a service: with `signal`, so that a cancelled task lets go of
 * it, and with `idempotencyKey` where the call changes something, so that a call that is made again after a crash
 * changes nothing twice.
 */
import type { AgentTool } from 'longhaul/tools';

const parameters = {
  type: 'object',
  properties: { order: { type: 'string', pattern: '^\\d{4}$', description: 'The number of the order.' } },
  required: ['order'],
  additionalProperties: false,
};

const orders = new Map([
  ['1001', { state: 'shipped', carrier: 'Example Post' }],
  ['1002', { state: 'packed', carrier: '' }],
]);

function find(order: unknown): { state: string; carrier: string } {
  const found = orders.get(String(order));
  // The model reads this, and may ask its user or look again.
  if (found === undefined) throw new Error(`There is no order ${String(order)}.`);
  return found;
}

const tools: AgentTool[] = [
  {
    name: 'order_state',
    description: 'Tells the state of an order, and who carries it.',
    parameters,
    readOnly: true,
    run: async ({ order }) => ({ ...find(order) }),
  },
  {
    name: 'cancel_order',
    description: 'Cancels an order that has not been shipped.',
    parameters,
    confirm: true, // the task waits in auth-required until the user approves this very call
    run: async ({ order }) => {
      const found = find(order);
      if (found.state === 'shipped') throw new Error('The order has been shipped and cannot be cancelled.');
      found.state = 'cancelled';
      return { ...found };
    },
  },
];
export default tools;
