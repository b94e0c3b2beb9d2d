/** The place in a thread that a config of LangGraph names. */
import type { RunnableConfig } from '@langchain/core/runnables';

export function readConfig({ configurable = {} }: RunnableConfig): {
  thread: string | undefined;
  ns: string;
  id: string | undefined;
} {
  const fields = configurable as { thread_id?: string; checkpoint_ns?: string; checkpoint_id?: string };
  return { thread: fields.thread_id, ns: fields.checkpoint_ns ?? '', id: fields.checkpoint_id };
}

export function toConfig(thread: string, ns: string, id: string): RunnableConfig {
  return { configurable: { thread_id: thread, checkpoint_ns: ns, checkpoint_id: id } };
}
