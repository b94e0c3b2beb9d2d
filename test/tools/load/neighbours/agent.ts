/**
 * The agent of the measured workers: the scripted agent, and the Gemini agent with the offline model for messages that
 * start with `model`, because only that agent reads files by URL.
 */
import type { Agent } from 'longhaul/agent';
import { readWorkerConfig } from '#shared/runtime/config/worker.ts';
import { loadAgent } from '#services/worker/agent/load.ts';
import scripted from '../../../support/agents/scripted.ts';

const { gemini, files } = readWorkerConfig();
const model = await loadAgent({ gemini, files, getSecret: () => undefined });

const agent: Agent = {
  run: (turn) => (turn.message.parts[0]?.text?.startsWith('model') === true ? model : scripted).run(turn),
  close: async () => model.close?.(),
};
export default agent;
