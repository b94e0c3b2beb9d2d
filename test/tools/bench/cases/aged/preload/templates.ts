/** Runs the tasks that are copied, with the services, and returns their identities. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { callJsonRpc } from '../../../../../support/clients/json-rpc.ts';
import { waitFor } from '../../../../../support/wait-for.ts';
import type { Rig } from '../../../rig.ts';
import { polling } from '../../../rounds.ts';
import type { Identities } from './clone.ts';

/** Owns the templates. Distinctive, because copies have the names of their own owners in its place. */
export const templateOwner = 'key:owner-of-the-templates';

interface Kind {
  /** So many of twenty tasks are of this kind. */
  share: number;
  /** Selects what the agent does; see agent.ts. */
  word: string;
  webhook?: true;
}

const kinds: readonly Kind[] = [
  { share: 9, word: 'report' },
  { share: 6, word: 'report', webhook: true },
  { share: 3, word: 'more' },
  { share: 1, word: 'ask' },
  { share: 1, word: 'fail' },
];

/** The number of the template of each of twenty tasks. */
export const shares = kinds.flatMap(({ share }, index) => Array.from({ length: share }, () => index));

const text =
  'Compare the measured values of the second quarter with the forecast, for all stations, and list those that differ by more than a tenth.';

type Template = Omit<Identities, 'context_key'>;

/** @param headers of the owner of the templates */
export async function runTemplates(rig: Rig, headers: Record<string, string>): Promise<Template[]> {
  const [api] = await Promise.all([rig.service('api'), rig.service('worker'), rig.service('dispatcher')]);
  const { ids } = await rig.load({ kind: 'receiver' });
  const url = `http://127.0.0.1:${ids[0]}/webhook`;
  const send = async (messageId: string, words: string, more: object, webhook: boolean | undefined) => {
    const message = { messageId, role: 'ROLE_USER', parts: [{ text: words }], ...more };
    const configuration = webhook === true ? { taskPushNotificationConfig: { url } } : {};
    const { result, error } = await callJsonRpc(
      api.url,
      'SendMessage',
      { message, configuration, metadata: { source: 'portal', locale: 'en' } },
      { headers },
    );
    assert.equal(error, undefined);
    return result.task as { id: string; contextId: string };
  };
  const templates: Template[] = [];
  for (const { word, webhook } of kinds) {
    const [message, followUp] = [randomUUID(), randomUUID()];
    const { id, contextId } = await send(message, `${word} ${text}`, {}, webhook);
    if (word === 'ask') await send(followUp, 'The northern one.', { taskId: id, contextId }, undefined);
    templates.push({ task: id, context: contextId, message, follow_up: followUp, owner: templateOwner });
  }
  await waitFor(
    'the end of all templates and their webhooks',
    async () => {
      const { rows } = await rig.stack.pool.query<{ open: number }>(
        `select (select count(*) from gates where state_class < 2) + (select count(*) from outbox)
           + (select count(*) from deliveries where state = 'pending') as open`,
      );
      return Number(rows[0]?.open) === 0;
    },
    polling,
  );
  // Those of turns that have ended are removed by reconcilers.
  await rig.stack.pool.query('delete from extended_leases');
  return templates;
}
