/** Other agents in memory: each answers at once, with a task that has ended or waits for an answer. */
import type { RemoteAgent, RemoteAgents, RemoteMessage } from '#services/worker/agent/remote/agent.ts';
import { FatalError } from '#shared/domain/errors.ts';
import { textOf } from '#shared/domain/message.ts';
import type { TestAgent, TestAgentAnswer } from './types.ts';

export function createTestAgents(agents: Readonly<Record<string, TestAgent>>): RemoteAgents {
  return {
    open: async (name) => createTestAgent(name, Object.hasOwn(agents, name) ? agents[name] : undefined),
  };
}

/** The agents of a YAML agent, which are only described: the task answers for them. */
export const silentAgents = createTestAgents({});

function createTestAgent(name: string, agent: TestAgent | undefined): RemoteAgent {
  return {
    describe: async () => undefined,
    send: async (message) => {
      if (agent === undefined) {
        throw new FatalError(
          `The agent "${name}" has no answer: set agents.${name} in the options of the task.`,
        );
      }
      const {
        state = 'TASK_STATE_COMPLETED',
        message: content = [],
        artifacts = [],
      } = await getAnswer(agent, message);
      const { messageId, taskId = `task-of-${messageId}`, contextId = `context-of-${messageId}` } = message;
      const parts = typeof content === 'string' ? [{ text: content }] : content;
      return {
        task: { id: taskId, contextId, state, message: parts, extensions: [], artifacts },
        notifies: false,
      };
    },
    find: async () => undefined,
    get: async () => undefined,
    cancel: async () => undefined,
    follow: async () => undefined,
    readCard: async () => ({}),
  };
}

async function getAnswer(
  agent: TestAgent,
  { messageId, parts, taskId, contextId, metadata }: RemoteMessage,
): Promise<TestAgentAnswer> {
  const answer =
    typeof agent === 'function'
      ? await agent({ text: textOf(parts), parts, messageId, taskId, contextId, metadata })
      : agent;
  return typeof answer === 'string' ? { message: answer } : answer;
}
