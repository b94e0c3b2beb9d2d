/** Finds the models and tools of a run when ADK is about to use them, and makes their calls steps. */
import {
  BasePlugin,
  isAgentTool,
  isBaseTool,
  isBaseToolset,
  isLlmAgent,
  type BaseAgent,
  type BaseTool,
  type BaseToolset,
  type Context,
  type LlmAgent,
  type LlmRequest,
} from '@google/adk';
import { rememberBranch, toDurableModel } from './model.ts';
import { makeDurable } from './tools.ts';

export class DurablePlugin extends BasePlugin {
  constructor() {
    super('longhaul');
  }

  override async beforeModelCallback({
    callbackContext,
    llmRequest,
  }: {
    callbackContext: Context;
    llmRequest: LlmRequest;
  }): Promise<undefined> {
    const { agent, branch } = callbackContext.invocationContext;
    rememberBranch(llmRequest, branch);
    if (isLlmAgent(agent)) makeModelDurable(agent);
  }

  override async beforeToolCallback({ tool }: { tool: BaseTool }): Promise<undefined> {
    makeToolDurable(tool);
  }
}

const known = new WeakSet();

/** ADK asks the agent for its model before each call. */
function makeModelDurable(agent: LlmAgent): void {
  if (known.has(agent)) return;
  known.add(agent);
  const prototype = Object.getPrototypeOf(agent) as LlmAgent;
  Object.defineProperty(agent, 'canonicalModel', {
    configurable: true,
    get: () => toDurableModel(Reflect.get(prototype, 'canonicalModel', agent), agent.name),
  });
}

function makeToolDurable(tool: BaseTool): void {
  makeDurable(tool);
  // The plugins of a run do not reach the agent of a tool.
  if (isAgentTool(tool)) makeAgentDurable((tool as unknown as { agent: BaseAgent }).agent);
}

function makeAgentDurable(agent: BaseAgent): void {
  if (isLlmAgent(agent) && !known.has(agent)) {
    makeModelDurable(agent);
    for (const tool of agent.tools) {
      if (isBaseTool(tool)) makeToolDurable(tool);
      else if (isBaseToolset(tool)) makeToolsetDurable(tool);
    }
  }
  for (const child of agent.subAgents) makeAgentDurable(child);
}

function makeToolsetDurable(toolset: BaseToolset): void {
  if (known.has(toolset)) return;
  known.add(toolset);
  const getTools = toolset.getTools.bind(toolset);
  toolset.getTools = async (context) => {
    const tools = await getTools(context);
    for (const tool of tools) makeToolDurable(tool);
    return tools;
  };
}
