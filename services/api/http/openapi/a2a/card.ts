/** The schema of an agent card (A2A 1.0, section 4.4). */
import { anyObject, flag, list, named, object, optional, record, text } from '../schema.ts';

const texts = list(text);
const description = optional(text);

const requirement = named(
  'SecurityRequirement',
  object({ schemes: optional(record(undefined, object({ list: optional(texts) }))) }),
);

const extension = named(
  'AgentExtension',
  object({ uri: text, description, required: optional(flag), params: optional(anyObject) }),
);

const skill = named(
  'AgentSkill',
  object({
    id: text,
    name: text,
    description: text,
    tags: optional(texts),
    examples: optional(texts),
    inputModes: optional(texts),
    outputModes: optional(texts),
    securityRequirements: optional(list(requirement)),
  }),
);

const agentInterface = named(
  'AgentInterface',
  object({ url: text, protocolBinding: text, protocolVersion: text, tenant: optional(text) }),
);

const fields = {
  name: text,
  description: text,
  version: text,
  provider: optional(object({ url: optional(text), organization: optional(text) })),
  documentationUrl: optional(text),
  iconUrl: optional(text),
  supportedInterfaces: list(agentInterface),
  capabilities: object({
    streaming: optional(flag),
    pushNotifications: optional(flag),
    extendedAgentCard: optional(flag),
    extensions: optional(list(extension)),
  }),
  defaultInputModes: optional(texts),
  defaultOutputModes: optional(texts),
  skills: optional(list(skill)),
  securitySchemes: optional(record(undefined, anyObject)),
  securityRequirements: optional(list(requirement)),
  signatures: optional(list(object({ protected: text, signature: text, header: optional(anyObject) }))),
};

export const agentCard = named('AgentCard', object(fields));

/** The card for clients that do not name a version also has the fields of A2A 0.3, which are not described here. */
export const publicCard = named('PublicAgentCard', { ...object(fields), additionalProperties: true });
