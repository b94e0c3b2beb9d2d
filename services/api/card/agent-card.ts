/** Creates the agent card (A2A section 4.4.1) from the agent definition. */
import { AgentCard, type AgentInterface } from '@a2a-js/sdk';
import { approvalExtension } from '#shared/agent/approval.ts';
import type { AgentDefinition } from '#shared/agent/definition.ts';
import { serviceTierExtension } from '#shared/domain/service-tier.ts';
import { operatorExtension } from '#shared/domain/scopes.ts';
import { schedulesExtension } from '#shared/domain/schedule.ts';
import { tasksExtension } from '#shared/domain/views.ts';
import { usageExtension } from '#shared/domain/usage.ts';
import type { AuthConfig } from '#shared/runtime/config/auth.ts';
import type { ProtocolConfig } from '#shared/runtime/config/api.ts';
import { isAuthenticationOn } from '#shared/runtime/config/auth.ts';
import { toSecurity } from '../auth/security.ts';
import { webhooksExtensionUri } from '#shared/webhooks/extension.ts';
import { jsonRpcPath } from '../bindings/jsonrpc/jsonrpc.ts';
import { priorityExtension } from '../extensions/priority.ts';
import { replayExtension } from '../extensions/replay.ts';
import { scheduleExtension } from '../extensions/schedule.ts';
import { v03RestPath, restPath } from '../bindings/rest/rest.ts';
import type { MergedDefinition } from './upstream.ts';

interface Addresses {
  publicUrl: string;
  grpcPublicTarget: string | undefined;
}

const replay = {
  uri: replayExtension,
  description: 'Resumable streams: a client continues after the last event that it has seen.',
  required: false,
};

const usage = {
  uri: usageExtension,
  description: 'The metadata of a task reports its token usage and cost.',
  required: false,
};

const approval = {
  uri: approvalExtension,
  description: 'The user approves or rejects individual tool calls while the task is in auth-required.',
  required: false,
};

const schedule = {
  uri: scheduleExtension,
  description: 'Sets the start time and the deadline of a task.',
  required: false,
};

const schedules = {
  uri: schedulesExtension,
  description: 'Starts recurring tasks: cron expressions with time zones, or intervals.',
  required: false,
};

const priority = {
  uri: priorityExtension,
  description: "Orders the queued tasks of a caller, without effect on other callers' tasks.",
  required: false,
};

const serviceTier = {
  uri: serviceTierExtension,
  description: 'A task chooses the speed and price of its model calls.',
  required: false,
};

const webhooks = {
  uri: webhooksExtensionUri,
  description:
    'Webhook options: event filter, ordering and signatures; deliveries can be inspected and redelivered.',
  required: false,
};

const tasks = {
  uri: tasksExtension,
  description:
    'Shows what tasks did when: timelines of their turns, attempts and steps, a feed of changes, search and figures.',
  required: false,
};

const operator = {
  uri: operatorExtension,
  description:
    'Lets operators see waiting work, workers and failures of all owners, wake turns, and drain workers.',
  required: false,
};

export interface CardParts extends Addresses {
  auth: AuthConfig;
  protocol: ProtocolConfig;
  /** Adds the skills that only authenticated callers see. */
  extended?: boolean;
}

/** Whether authenticated callers see more skills than the public card has. */
export function hasExtendedCard(definition: AgentDefinition, auth: AuthConfig): boolean {
  return isAuthenticationOn(auth) && (definition.extendedSkills ?? []).length > 0;
}

export function createAgentCard(definition: MergedDefinition, parts: CardParts): AgentCard {
  const { auth, protocol, extended = false } = parts;
  // Only the worker loads tools in code, so the api cannot see whether one of them is marked `confirm`.
  const mayNeedApproval =
    definition.approves === true ||
    definition.toolModules.length > 0 ||
    Object.values(definition.mcpServers).some(({ confirm = [] }) => confirm.length > 0);
  return AgentCard.fromJSON({
    name: definition.name,
    description: definition.description,
    version: definition.version,
    provider: definition.provider,
    documentationUrl: definition.documentationUrl,
    iconUrl: definition.iconUrl,
    supportedInterfaces: createInterfaces(parts),
    capabilities: {
      streaming: protocol.streaming,
      pushNotifications: protocol.pushNotifications,
      extensions: withRequired(protocol.requiredExtensions, [
        ...(protocol.streaming ? [replay] : []),
        schedule,
        schedules,
        priority,
        ...(definition.model.taskServiceTiers === undefined ? [] : [serviceTier]),
        ...(mayNeedApproval ? [approval] : []),
        webhooks,
        usage,
        tasks,
        operator,
      ]),
      extendedAgentCard: hasExtendedCard(definition, auth),
    },
    defaultInputModes: definition.inputModes,
    defaultOutputModes: definition.outputModes,
    skills: extended ? [...definition.skills, ...(definition.extendedSkills ?? [])] : definition.skills,
    ...toSecurity(auth),
  });
}

/**
 * Marks the required extensions. Required URIs that this service does not know belong to the agent module.
 */
function withRequired(required: readonly string[], offered: readonly (typeof approval)[]): object[] {
  const others = required.filter((uri) => offered.every((extension) => extension.uri !== uri));
  return [
    ...offered.map((extension) => ({ ...extension, required: required.includes(extension.uri) })),
    ...others.map((uri) => ({ uri, required: true })),
  ];
}

/** In order of preference (section 8.3.1). */
function createInterfaces({
  publicUrl,
  grpcPublicTarget,
  protocol,
}: CardParts): Omit<AgentInterface, 'tenant'>[] {
  const jsonRpc = { url: `${publicUrl}${jsonRpcPath}`, protocolBinding: 'JSONRPC' };
  const grpc = grpcPublicTarget === undefined ? [] : [{ url: grpcPublicTarget, protocolBinding: 'GRPC' }];
  const rest = (path: string) => ({ url: `${publicUrl}${path}`, protocolBinding: 'HTTP+JSON' });
  const current = [jsonRpc, rest(restPath), ...grpc].map((entry) => ({ ...entry, protocolVersion: '1.0' }));
  const v03 = [jsonRpc, rest(v03RestPath), ...grpc].map((entry) => ({ ...entry, protocolVersion: '0.3' }));
  return protocol.legacy ? [...current, ...v03] : current;
}
