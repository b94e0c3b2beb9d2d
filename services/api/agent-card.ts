/** The agent card (A2A section 4.4.1), made of the agent's definition. */
import { AgentCard } from '@a2a-js/sdk';
import type { AgentDefinition } from '#shared/agent/definition.ts';
import { jsonRpcPath } from './jsonrpc.ts';

export function createAgentCard(definition: AgentDefinition, publicUrl: string): AgentCard {
  return AgentCard.fromJSON({
    name: definition.name,
    description: definition.description,
    version: definition.version,
    provider: definition.provider,
    documentationUrl: definition.documentationUrl,
    iconUrl: definition.iconUrl,
    supportedInterfaces: [
      { url: `${publicUrl}${jsonRpcPath}`, protocolBinding: 'JSONRPC', protocolVersion: '1.0' },
    ],
    capabilities: { streaming: true, pushNotifications: true, extendedAgentCard: false },
    defaultInputModes: definition.inputModes,
    defaultOutputModes: definition.outputModes,
    skills: definition.skills,
  });
}
