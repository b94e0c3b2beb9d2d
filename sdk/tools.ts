/** `longhaul/tools`: tools that are written in code, for the Gemini agent, with arguments typed from their JSON Schema. */
import type { AgentTool, ToolCallContext } from '#services/worker/agent/tools/tool.ts';
import type { Json } from '#shared/domain/message.ts';
import type { FromSchema } from './tools/from-schema.ts';

export { pendingResult } from '#services/worker/agent/tools/tool.ts';
export type { AgentTool, ToolCallContext } from '#services/worker/agent/tools/tool.ts';
export type { Json, JsonObject } from '#shared/domain/message.ts';
export type { FromSchema } from './tools/from-schema.ts';

/** A tool whose `run` gets arguments of the type that its schema describes. */
export type ToolDefinition<Schema> = Omit<AgentTool, 'parameters' | 'run'> & {
  /** The JSON Schema of the arguments, of type `object`. Arguments are checked before `run`. */
  parameters: Schema;
  /** The model gets the result, or the message of the error that is thrown. */
  run(args: FromSchema<Schema>, call: ToolCallContext): Promise<Json | void>;
};

/** Returns the tool. The types of the arguments follow from `parameters`; only the worker checks their values. */
export function defineTool<const Schema extends { readonly type: 'object' }>(
  tool: ToolDefinition<Schema>,
): AgentTool {
  return {
    ...tool,
    parameters: tool.parameters,
    run: (args, call) => tool.run(args as FromSchema<Schema>, call),
  };
}
