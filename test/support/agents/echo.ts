/** The smallest agent: answers with the text of its message. */
import type { Agent } from '#services/worker/agent/agent.ts';
import { textOf } from '#shared/domain/message.ts';

const agent: Agent = {
  run: async (turn) => ({ direct: textOf(turn.message.parts) }),
};
export default agent;
