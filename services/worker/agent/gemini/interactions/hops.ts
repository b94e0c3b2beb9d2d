/**
 * Gets one reply through the Interactions API, which Google may cut into several calls: a call in the foreground may end
 * with `requires_continuation` and a token, with which the next call continues (types of @google/genai 3.1,
 * `continuation_token`). Each call is recorded and counted alone. The parts so far are kept in the conversation, so that
 * a failed call is repeated without those before it.
 */
import type { Content } from '@google/genai';
import { runsInBackground } from '#shared/agent/model-api.ts';
import type { AskModelParts } from '../ask-model-parts.ts';
import type { Conversation } from '../conversation/conversation.ts';
import { addCounts } from '../model/cost.ts';
import type { ModelResponse } from '../model/response.ts';
import type { Stall } from '../model/stall.ts';
import { InteractionCall, type InteractionReply } from './call.ts';

/** @throws {LimitError} if the reply takes more calls than the turn has left */
export async function callInteraction(parts: AskModelParts, stall: Stall): Promise<InteractionReply> {
  const { conversation, definition, budget } = parts;
  let isReplayed = false;
  for (;;) {
    const { unfinished } = conversation;
    const call = new InteractionCall(parts, stall);
    const reply = await (runsInBackground(definition.model) ? call.inBackground() : call.inForeground());
    if ('failed' in reply.result) return reply;
    const result = unfinished === undefined ? reply.result : join(unfinished, reply.result);
    isReplayed ||= !reply.live;
    if (result.continuation === undefined) {
      delete conversation.unfinished;
      // The artifact lacks the text of calls that were replayed.
      return { ...reply, result, ...(unfinished !== undefined && isReplayed && { streamed: false }) };
    }
    conversation.unfinished = result;
    budget.takeModelCall();
  }
}

/** Remembers what Google keeps of a reply: itself, if it has all of this conversation, and its environment. */
export function rememberStored(
  conversation: Conversation,
  { interaction, base, environment }: ModelResponse,
): void {
  if (environment !== undefined) conversation.environment = environment;
  const content = conversation.contents.at(-1);
  const isWhole = base === conversation.base;
  if (interaction === undefined || content === undefined || !isWhole) delete conversation.stored;
  else conversation.stored = { id: interaction, content, parts: content.parts?.length ?? 0 };
}

/** The usage is the sum; everything else is that of the last call. */
function join(before: ModelResponse, next: ModelResponse): ModelResponse {
  const parts = [before, next].flatMap(({ content }) => (content as Content).parts ?? []);
  return {
    ...next,
    content: { ...next.content, parts: JSON.parse(JSON.stringify(parts)) as [] },
    usage: addCounts(before.usage, next.usage),
    ms: before.ms + next.ms,
  };
}
