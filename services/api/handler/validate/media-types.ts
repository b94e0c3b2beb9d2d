/**
 * Checks a message against the media types of the agent card (A2A sections 3.1.1 and 4.4.1): the agent must
 * accept each part, and the client must accept one of the agent's output types. Skills may add types to the
 * agent's defaults. Decisions of the approval extension are accepted by every agent.
 */
import type { Message, Part } from '@a2a-js/sdk';
import { ContentTypeNotSupportedError } from '@a2a-js/sdk/errors';
import { hasApprovalContent } from '#shared/agent/approval.ts';
import type { AgentDefinition } from '#shared/agent/definition.ts';

/** Media types, or ranges such as `image/*`. */
export interface MediaTypes {
  input: readonly string[];
  output: readonly string[];
}

export function getMediaTypes(agent: AgentDefinition): MediaTypes {
  const skills = [...agent.skills, ...(agent.extendedSkills ?? [])];
  return {
    input: [...agent.inputModes, ...skills.flatMap(({ inputModes = [] }) => inputModes)],
    output: [...agent.outputModes, ...skills.flatMap(({ outputModes = [] }) => outputModes)],
  };
}

/**
 * @param accepted output types that the client accepts; empty: all
 * @throws {ContentTypeNotSupportedError}
 */
export function checkMediaTypes(
  { input, output }: MediaTypes,
  message: Message,
  accepted: readonly string[],
): void {
  for (const [index, part] of message.parts.entries()) {
    if (part.content?.$case === 'data' && hasApprovalContent(part.content.value)) continue;
    const type = getType(part);
    if (type === undefined || input.some((supported) => overlap(supported, type))) continue;
    throw new ContentTypeNotSupportedError(
      `message.parts[${index}] has the unsupported media type ${type}: use one of ${input.join(', ')}`,
    );
  }
  if (accepted.length > 0 && !accepted.some((mode) => output.some((supported) => overlap(supported, mode)))) {
    throw new ContentTypeNotSupportedError(
      `acceptedOutputModes has no media type that this agent supports: use one of ${output.join(', ')}`,
    );
  }
}

/** Returns undefined for a file without a media type, which may be of any type. */
function getType({ mediaType, content }: Part): string | undefined {
  if (mediaType !== '') return mediaType;
  if (content?.$case === 'text') return 'text/plain';
  return content?.$case === 'data' ? 'application/json' : undefined;
}

/** Ignores parameters such as charset. Early A2A clients send `text` for every text type. */
function overlap(a: string, b: string): boolean {
  if (a === b) return true;
  const [[typeA, subtypeA], [typeB, subtypeB]] = [split(a), split(b)];
  return matches(typeA, typeB) && matches(subtypeA, subtypeB);
}

function split(mediaType: string): [string, string] {
  const [type = '', subtype = '*'] = mediaType.split(';', 1)[0]?.trim().toLowerCase().split('/') ?? [];
  return [type, subtype];
}

function matches(a: string, b: string): boolean {
  return a === b || a === '*' || b === '*';
}
