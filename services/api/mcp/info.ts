/** How the server introduces itself: the same on both ways of an answer. */
import type { AgentCard } from '@a2a-js/sdk';
import type { Implementation } from '@modelcontextprotocol/server';

export function toServerInfo({
  name,
  version,
  description,
  documentationUrl,
  iconUrl,
}: AgentCard): Implementation {
  return {
    name,
    version,
    description,
    ...(documentationUrl && { websiteUrl: documentationUrl }),
    ...(iconUrl && { icons: [{ src: iconUrl }] }),
  };
}
