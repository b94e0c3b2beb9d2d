/** The wait for a task of an MCP server. For the Gemini agent, not for agents in code. */
import type { CallResult } from '../../agent.ts';

export interface FollowTaskOptions {
  /** Its name in `mcpServers` of the definition. */
  server: string;
  taskId: string;
  /** How long the task is waited for. Then it is canceled. */
  timeoutSeconds: number;
  /** The least pause before it is polled. */
  pollSeconds?: number;
}

export interface ToolTaskWaits {
  /**
   * Waits like `call` for a task with which a server has answered the call of a tool. If our task ends first, that one is
   * canceled.
   *
   * @param name of the wait
   */
  followTask(name: string, options: FollowTaskOptions): PromiseLike<CallResult>;
}
