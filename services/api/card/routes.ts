/**
 * Serves the agent card at its well-known path, with the headers that caches need to store and revalidate it
 * (A2A section 8.6), and the keys that verify its signature. Clients of A2A 0.2 look for it at another path. The root serves
 * it too, for clients that know only the address of a service; browsers are led from there to the console.
 */
import { A2A_VERSION_HEADER, AGENT_CARD_PATH, AgentCard } from '@a2a-js/sdk';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { supportsV03, getVersion } from '../bindings/call-context.ts';
import { addVary } from '../http/headers.ts';
import { createDocument, sendDocument, type StaticDocument } from '../http/static-document.ts';
import { cardJwksPath, type CardSigner } from './signature.ts';
import { toDualVersionCard } from './v03.ts';

/** The path of A2A 0.2, whose clients speak 0.3 well enough. */
const v02CardPath = '/.well-known/agent.json';

/**
 * @param getCard returns the current card: that of a gateway changes with the agent behind it
 * @param consoleUrl the path of the console; undefined: it is not served
 */
export async function registerCard(
  app: FastifyInstance,
  getCard: () => AgentCard,
  { signJson, publicKeys }: CardSigner,
  consoleUrl?: string,
): Promise<void> {
  const legacy = supportsV03(getCard());
  const create = async (card: AgentCard): Promise<CardDocuments> => {
    const current = createDocument(AgentCard.toJSON(card));
    const dualVersion = legacy ? createDocument(await toDualVersionCard(card, signJson)) : current;
    return { card, current, dualVersion };
  };
  let documents = await create(getCard());
  const sendCard = async (request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> => {
    addVary(reply, A2A_VERSION_HEADER);
    if (documents.card !== getCard()) documents = await create(getCard());
    const { current, dualVersion } = documents;
    return sendDocument(request, reply, getVersion(request) === '1.0' ? current : dualVersion);
  };
  for (const path of [`/${AGENT_CARD_PATH}`, ...(legacy ? [v02CardPath] : [])]) app.get(path, sendCard);
  app.get('/', async (request, reply) => {
    addVary(reply, 'accept');
    // Browsers alone ask for HTML.
    const isPage = /\btext\/html\b/i.test(request.headers.accept ?? '');
    return consoleUrl !== undefined && isPage ? reply.redirect(consoleUrl) : sendCard(request, reply);
  });
  if (publicKeys.length === 0) return;
  const keys = createDocument({ keys: publicKeys });
  app.get(cardJwksPath, async (request, reply) => sendDocument(request, reply, keys));
}

interface CardDocuments {
  /** Which they show. */
  card: AgentCard;
  current: StaticDocument;
  dualVersion: StaticDocument;
}
