/** `longhaul/adk`: agents and workflows of Google's ADK as agents (docs/frameworks/adk.md). Needs `@google/adk` 2. */
export { createAdkAgent, type AdkAgentOptions } from './adk/agent.ts';
export { getToolCall, getTurn, step, type ToolCall } from './adk/scope.ts';
