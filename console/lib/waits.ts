/** The waits that a task lists in the metadata of its status message (docs/develop/waits.md), and its relatives. */
import type { JsonObject, Message } from '#shared/domain/message.ts';

export interface ListedWait {
  name: string;
  kind: string;
  since: string;
  until?: string;
}

const waitsExtension = 'https://longhaul.dev/ext/waits/v1';
const childrenExtension = 'https://longhaul.dev/ext/children/v1';

export function listWaits(message: Message | undefined): ListedWait[] {
  const waits: unknown = message?.metadata?.[waitsExtension];
  return Array.isArray(waits) ? waits.filter(isListedWait) : [];
}

/** An agent behind a gateway may send anything. */
function isListedWait(wait: unknown): wait is ListedWait {
  const { name, kind, since } = (wait ?? {}) as Record<keyof ListedWait, unknown>;
  return [name, kind, since].every((field) => typeof field === 'string');
}

export function getRelatives(metadata: JsonObject | undefined): {
  parent: string | undefined;
  children: string[];
} {
  const content = metadata?.[childrenExtension] as
    | { parent?: string; referenceTaskIds?: string[] }
    | undefined;
  return { parent: content?.parent, children: content?.referenceTaskIds ?? [] };
}
