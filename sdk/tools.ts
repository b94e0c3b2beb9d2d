/** `longhaul/tools`: the interface of tools that are written in code, for the Gemini agent. */
export type { AgentTool, ToolCallContext } from '#services/worker/agent/tools/tool.ts';
export type { Json, JsonObject } from '#shared/domain/message.ts';
