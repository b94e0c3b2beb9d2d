/**
 * Tools in code for orders.yaml. A real module would call a service. It would pass `signal`, so that a cancelled task
 * aborts the call, and `idempotencyKey`, so that a call repeated after a crash changes nothing twice.
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
  // The model reads this message, and may ask its user or try again.
  if (found === undefined) throw new Error(`There is no order ${String(order)}.`);
  return found;
}

const tools: AgentTool[] = [
  {
    name: 'order_state',
    description: 'Returns the state and the carrier of an order.',
    parameters,
    readOnly: true,
    run: async ({ order }) => ({ ...find(order) }),
  },
  {
    name: 'cancel_order',
    description: 'Cancels an order that has not been shipped.',
    parameters,
    confirm: true, // the task waits in auth-required until the user approves this exact call
    run: async ({ order }) => {
      const found = find(order);
      if (found.state === 'shipped') throw new Error('The order has been shipped and cannot be cancelled.');
      found.state = 'cancelled';
      return { ...found };
    },
  },
];
export default tools;
