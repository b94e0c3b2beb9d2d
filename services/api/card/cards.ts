/** The cards of this agent. Those of a gateway change with the card of the agent behind it. */
import type { AgentCard } from '@a2a-js/sdk';
import type { AgentDefinition } from '#shared/agent/definition.ts';
import type { JsonObject } from '#shared/domain/message.ts';
import type { ApiConfig } from '#shared/runtime/config/api.ts';
import { getMediaTypes, type MediaTypes } from '../handler/validate/media-types.ts';
import { createAgentCard, hasExtendedCard } from './agent-card.ts';
import { createCardSigner, type CardSigner } from './signature.ts';
import { mergeUpstream } from './upstream.ts';

/** The cards as they are now. */
export interface CurrentCards {
  readonly card: AgentCard;
  /** For authenticated callers; undefined: there is none. */
  readonly extendedCard: AgentCard | undefined;
}

export interface Cards {
  cards: CurrentCards;
  /** The media types of the current card. */
  mediaTypes: MediaTypes;
  cardSigner: CardSigner;
  /** Merges another card of the agent behind a gateway. */
  refresh: (upstream: JsonObject | undefined) => Promise<void>;
}

type CardConfig = Pick<ApiConfig, 'auth' | 'protocol' | 'publicUrl' | 'grpcPublicTarget' | 'cardKeys'>;

export async function createCards(
  { auth, protocol, publicUrl, grpcPublicTarget, cardKeys }: CardConfig,
  definition: AgentDefinition,
): Promise<Cards> {
  const cardSigner = await createCardSigner(cardKeys, publicUrl);
  const hasExtended = hasExtendedCard(definition, auth);

  async function merge(upstream: JsonObject | undefined) {
    const merged = mergeUpstream(definition, upstream);
    const create = (extended: boolean): Promise<AgentCard> =>
      cardSigner.sign(createAgentCard(merged, { publicUrl, grpcPublicTarget, auth, protocol, extended }));
    const card = await create(false);
    return {
      card,
      extendedCard: hasExtended ? await create(true) : undefined,
      mediaTypes: getMediaTypes(merged),
    };
  }

  let current = await merge(undefined);
  return {
    cards: {
      get card() {
        return current.card;
      },
      get extendedCard() {
        return current.extendedCard;
      },
    },
    mediaTypes: {
      get input() {
        return current.mediaTypes.input;
      },
      get output() {
        return current.mediaTypes.output;
      },
    },
    cardSigner,
    refresh: async (upstream) => {
      current = await merge(upstream);
    },
  };
}
