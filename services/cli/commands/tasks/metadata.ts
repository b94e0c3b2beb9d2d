/** The metadata of a message that starts a task: from the option `--metadata`, and from options that stand for a key of it. */
import type { JsonObject } from '#shared/domain/message.ts';
import { serviceTierExtension } from '#shared/domain/service-tier.ts';
import type { Agent } from '../../agent/connect.ts';
import { usageError } from '../../failure.ts';

export interface MetadataOptions {
  at?: string;
  tier?: string;
  metadata?: JsonObject;
}

const scheduleExtension = 'https://longhaul.dev/ext/schedule/v1';

/** @throws {CliError} if the agent does not know what an option asks for, or two of them set the same */
export function createMetadata(
  { card, supports }: Pick<Agent, 'card' | 'supports'>,
  { at, tier, metadata }: MetadataOptions,
): JsonObject | undefined {
  if (at !== undefined && !supports(scheduleExtension)) {
    throw usageError(`${card.name} cannot start tasks later: its card does not list ${scheduleExtension}`);
  }
  if (tier !== undefined && !supports(serviceTierExtension)) {
    throw usageError(`${card.name} offers no service tiers: its card does not list ${serviceTierExtension}`);
  }
  const own: JsonObject = {
    ...(at !== undefined && { [scheduleExtension]: { startAt: at } }),
    ...(tier !== undefined && { [serviceTierExtension]: tier }),
  };
  const twice = Object.keys(own).find((key) => metadata !== undefined && Object.hasOwn(metadata, key));
  if (twice !== undefined) {
    throw usageError(
      `--metadata sets ${twice}, and so does ${twice === scheduleExtension ? '--at' : '--tier'}`,
    );
  }
  const all = { ...metadata, ...own };
  return Object.keys(all).length === 0 ? undefined : all;
}

/** Runs a send. If the agent refuses what an option set, the error names the option instead of the metadata. */
export async function namingOptions<T>({ at, tier }: MetadataOptions, send: () => Promise<T>): Promise<T> {
  try {
    return await send();
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    let { message } = error;
    if (tier !== undefined) message = message.replace(`metadata["${serviceTierExtension}"]`, '--tier');
    if (at !== undefined) message = message.replace(/\bstartAt\b/, '--at');
    throw message === error.message ? error : usageError(message);
  }
}
