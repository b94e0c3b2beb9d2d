/**
 * Whether the agent takes what it is sent, and can answer in what its caller accepts: by the media types that its card
 * declares (A2A sections 3.1.1 and 4.4.1). A skill may take or give more than the agent does by default.
 */
import type { Message, Part } from '@a2a-js/sdk';
import { ContentTypeNotSupportedError } from '@a2a-js/sdk/errors';
import type { AgentDefinition } from '#shared/agent/definition.ts';

/** Media types, or ranges of them such as `image/*`. */
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
 * @param accepted as the caller names them; none: all
 * @throws {ContentTypeNotSupportedError}
 */
export function checkMediaTypes(
  { input, output }: MediaTypes,
  message: Message,
  accepted: readonly string[],
): void {
  for (const [index, part] of message.parts.entries()) {
    const type = typeOf(part);
    if (type === undefined || input.some((taken) => overlap(taken, type))) continue;
    throw new ContentTypeNotSupportedError(
      `message.parts[${index}] is ${type}; this agent takes ${input.join(', ')}`,
    );
  }
  if (accepted.length > 0 && !accepted.some((one) => output.some((given) => overlap(given, one)))) {
    throw new ContentTypeNotSupportedError(
      `acceptedOutputModes has nothing that this agent answers in: ${output.join(', ')}`,
    );
  }
}

/** Files that do not say what they are may be anything. */
function typeOf({ mediaType, content }: Part): string | undefined {
  if (mediaType !== '') return mediaType;
  if (content?.$case === 'text') return 'text/plain';
  return content?.$case === 'data' ? 'application/json' : undefined;
}

/** Parameters such as a charset play no part. Early clients of A2A say `text` for all text. */
function overlap(one: string, other: string): boolean {
  if (one === other) return true;
  const [[type, subtype], [otherType, otherSubtype]] = [split(one), split(other)];
  return same(type, otherType) && same(subtype, otherSubtype);
}

function split(mediaType: string): [string, string] {
  const [type = '', subtype = '*'] = mediaType.split(';', 1)[0]?.trim().toLowerCase().split('/') ?? [];
  return [type, subtype];
}

const same = (one: string, other: string): boolean => one === other || one === '*' || other === '*';
