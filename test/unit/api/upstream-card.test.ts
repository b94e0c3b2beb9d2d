/** The card of a gateway: that of the agent behind it, within bounds, under what the definition says. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { createCards } from '#services/api/card/cards.ts';
import { parseAgentDefinition } from '#shared/agent/load-definition.ts';
import type { JsonObject } from '#shared/domain/message.ts';

const define = (a2a: object, more: object = {}) =>
  parseAgentDefinition(
    JSON.stringify({
      name: 'Front',
      description: 'In front.',
      version: '1',
      a2a: { url: 'http://x', ...a2a },
      ...more,
    }),
    'x',
  );

const createOwnCards = (definition: ReturnType<typeof define>) =>
  createCards(
    {
      auth: {} as never,
      protocol: { legacy: true, streaming: true, pushNotifications: true, requiredExtensions: [] },
      publicUrl: 'http://own',
      grpcPublicTarget: undefined,
      cardKeys: [],
    },
    definition,
  );

const skill = (id: string, more: object = {}) => ({
  id,
  name: id.toUpperCase(),
  description: id,
  tags: [],
  ...more,
});

const card = (more: object = {}): JsonObject => ({
  name: 'Other',
  description: 'Another.',
  version: '9',
  supportedInterfaces: [],
  capabilities: {},
  defaultInputModes: ['text/plain', 'image/png'],
  defaultOutputModes: ['application/json'],
  skills: [skill('a'), skill('b', { inputModes: ['audio/wav'] })],
  ...more,
});

describe('the card of a gateway', () => {
  test('takes skills and modes of the other agent, and keeps its own name', async () => {
    const { cards, mediaTypes, refresh } = await createOwnCards(define({}));
    assert.deepEqual(
      [cards.card.skills.map(({ id }) => id), mediaTypes.input],
      [['default'], ['*/*']],
      'before the other agent was reached',
    );
    await refresh(card());
    assert.equal(cards.card.name, 'Front');
    assert.deepEqual(
      cards.card.skills.map(({ id }) => id),
      ['a', 'b'],
    );
    assert.deepEqual(mediaTypes.input, ['text/plain', 'image/png', 'audio/wav']);
    assert.deepEqual(cards.card.defaultOutputModes, ['application/json']);
    assert.ok(cards.card.supportedInterfaces.every(({ url }) => url.startsWith('http://own')));
  });

  test('lists chosen skills, and those of the definition first', async () => {
    const own = { skills: [skill('b', { name: 'Own' })], inputModes: ['text/csv'] };
    const { cards, mediaTypes, refresh } = await createOwnCards(define({ skills: ['a', 'b'] }, own));
    await refresh(card());
    assert.deepEqual(
      cards.card.skills.map(({ name }) => name),
      ['Own', 'A'],
    );
    assert.deepEqual(mediaTypes.input, ['text/csv']);
  });

  test('leaves out what is not valid, and too much', async () => {
    const { cards, refresh } = await createOwnCards(define({}));
    const skills = [skill(''), skill('a', { description: 'x'.repeat(10_000) }), skill('c'), skill('c')];
    await refresh(card({ skills, defaultInputModes: [''] }));
    assert.deepEqual(
      cards.card.skills.map(({ id }) => id),
      ['c'],
    );
    assert.deepEqual(cards.card.defaultInputModes, ['text/plain']);
    await refresh(card({ skills: Array.from({ length: 500 }, (_, index) => skill(`s${index}`)) }));
    assert.equal(cards.card.skills.length, 200);
  });
});
