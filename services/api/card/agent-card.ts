/** The agent card (A2A section 4.4.1), made of the agent's definition. */
import { AgentCard, type AgentInterface } from '@a2a-js/sdk';
import { approvalExtension } from '#shared/agent/approval.ts';
import type { AgentDefinition } from '#shared/agent/definition.ts';
import { usageExtension } from '#shared/domain/usage.ts';
import type { AuthConfig } from '#shared/runtime/config/auth.ts';
import type { ProtocolConfig } from '#shared/runtime/config/api.ts';
import { isAuthenticationOn } from '../auth/authenticate.ts';
import { toSecurity } from '../auth/security.ts';
import { webhooksExtensionUri } from '#shared/webhooks/options.ts';
import { jsonRpcPath } from '../bindings/jsonrpc/jsonrpc.ts';
import { replayExtension } from '../extensions/replay.ts';
import { scheduleExtension } from '../extensions/schedule.ts';
import { v03RestPath, restPath } from '../bindings/rest/rest.ts';

export interface Addresses {
  publicUrl: string;
  grpcPublicTarget: string | undefined;
}

const replay = { uri: replayExtension, description: 'Streams go on where they broke off.', required: false };

const usage = {
  uri: usageExtension,
  description: 'The metadata of a task tells the tokens and the cost that it has taken.',
  required: false,
};

const approval = {
  uri: approvalExtension,
  description:
    'The user approves or refuses single calls of tools, in-band, while the task is in auth-required.',
  required: false,
};

export interface CardParts extends Addresses {
  auth: AuthConfig;
  protocol: ProtocolConfig;
  /** The card for callers who have authenticated: with the skills that are theirs alone. */
  extended?: boolean;
}

/** Whether there is more to show to callers who have authenticated. */
export function hasExtendedCard(definition: AgentDefinition, auth: AuthConfig): boolean {
  return isAuthenticationOn(auth) && (definition.extendedSkills ?? []).length > 0;
}

export function createAgentCard(definition: AgentDefinition, parts: CardParts): AgentCard {
  const { auth, protocol, extended = false } = parts;
  const asksForApproval = Object.values(definition.mcpServers).some(({ confirm = [] }) => confirm.length > 0);
  return AgentCard.fromJSON({
    name: definition.name,
    description: definition.description,
    version: definition.version,
    provider: definition.provider,
    documentationUrl: definition.documentationUrl,
    iconUrl: definition.iconUrl,
    supportedInterfaces: interfaces(parts),
    capabilities: {
      streaming: protocol.streaming,
      pushNotifications: protocol.pushNotifications,
      extensions: withRequired(protocol.requiredExtensions, [
        ...(protocol.streaming ? [replay] : []),
        { uri: scheduleExtension, description: 'A time to start at, and a deadline.', required: false },
        ...(asksForApproval ? [approval] : []),
        webhooksExtension,
        usage,
      ]),
      extendedAgentCard: hasExtendedCard(definition, auth),
    },
    defaultInputModes: definition.inputModes,
    defaultOutputModes: definition.outputModes,
    skills: extended ? [...definition.skills, ...(definition.extendedSkills ?? [])] : definition.skills,
    ...toSecurity(auth),
  });
}

const webhooksExtension = {
  uri: webhooksExtensionUri,
  description:
    'Webhooks: which events, order or speed, signatures, and their deliveries to look at and repeat',
  required: false,
};

/** An extension that this service does not know is the agent module's. */
function withRequired(required: readonly string[], offered: readonly (typeof approval)[]): object[] {
  const others = required.filter((uri) => offered.every((one) => one.uri !== uri));
  return [
    ...offered.map((one) => ({ ...one, required: required.includes(one.uri) })),
    ...others.map((uri) => ({ uri, required: true })),
  ];
}

/** The first is the one that we would take (section 8.3.1). */
function interfaces({ publicUrl, grpcPublicTarget, protocol }: CardParts): Omit<AgentInterface, 'tenant'>[] {
  const jsonRpc = { url: `${publicUrl}${jsonRpcPath}`, protocolBinding: 'JSONRPC' };
  const grpc = grpcPublicTarget === undefined ? [] : [{ url: grpcPublicTarget, protocolBinding: 'GRPC' }];
  const rest = (path: string) => ({ url: `${publicUrl}${path}`, protocolBinding: 'HTTP+JSON' });
  const current = [jsonRpc, rest(restPath), ...grpc].map((one) => ({ ...one, protocolVersion: '1.0' }));
  const legacy = [jsonRpc, rest(v03RestPath), ...grpc].map((one) => ({ ...one, protocolVersion: '0.3' }));
  return protocol.legacy ? [...current, ...legacy] : current;
}
