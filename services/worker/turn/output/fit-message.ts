/** Stores the large parts of messages as files, so that an event has room for its message. */
import type { Part } from '#shared/domain/message.ts';
import { maxEventBytes } from '#shared/domain/sizes.ts';
import type { TurnOutcome } from '../../agent/agent.ts';
import type { TurnFiles } from './files.ts';

/** Bytes of an event without the parts of its message: ids, state, usage. */
const maxEnvelopeBytes = 4096;

/** @throws {FatalError} if the message is too large even so */
export type FitMessage = (content: Part[] | string) => Promise<Part[]>;

export function createMessageFitter(files: Pick<TurnFiles, 'fit'>): FitMessage {
  return (content) => {
    const parts = typeof content === 'string' ? [{ text: content }] : content;
    return files.fit('The message', parts, maxEventBytes - maxEnvelopeBytes);
  };
}

export async function fitOutcome(outcome: TurnOutcome, fit: FitMessage): Promise<TurnOutcome> {
  if ('direct' in outcome) return { direct: await fit(outcome.direct) };
  return outcome.message === undefined ? outcome : { ...outcome, message: await fit(outcome.message) };
}
