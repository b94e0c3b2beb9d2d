/** `longhaul/langgraph`: graphs of LangGraph as agents (docs/frameworks/langgraph.md). Needs `@langchain/langgraph` 1. */
export { createGraphAgent, type CompiledGraph, type GraphAgentOptions } from './langgraph/agent.ts';
export { TurnSaver, type SaverOptions } from './langgraph/saver.ts';
export type { CheckpointEntry, ThreadEntry, WritesEntry } from './langgraph/threads.ts';
export { getIdempotencyKey, getTurn, type GraphTurn } from './langgraph/turn.ts';
