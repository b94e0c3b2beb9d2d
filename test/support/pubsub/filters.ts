/** The contract for subscription filters: which messages pass, and which filters are refused. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { status } from '@grpc/grpc-js';
import { toTexts, type Kit } from './kit.ts';

const MESSAGES: Record<string, Record<string, string>> = {
  plain: {},
  y: { x: 'y' },
  yz: { x: 'yz', z: '1' },
  z: { z: '1' },
  quoted: { x: 'a "b"', 'k-1': 'v', 'k 2': 'v' },
};

/** The names of the messages that pass each filter. */
const PASSES: Record<string, string[]> = {
  'attributes:x': ['quoted', 'y', 'yz'],
  'attributes.x = "y"': ['y'],
  'attributes.x="y"': ['y'],
  'attributes.x != "y"': ['plain', 'quoted', 'yz', 'z'],
  'NOT attributes:x': ['plain', 'z'],
  'NOT NOT attributes:x': ['quoted', 'y', 'yz'],
  'hasPrefix(attributes.x, "y")': ['y', 'yz'],
  'attributes:x AND NOT attributes:z': ['quoted', 'y'],
  'attributes.x = "y" OR attributes:z': ['y', 'yz', 'z'],
  '(attributes:x AND attributes:z) OR attributes.x = "y"': ['y', 'yz'],
  'NOT (attributes:x OR attributes:z)': ['plain'],
  'attributes.x = "a \\"b\\""': ['quoted'],
  'attributes.x = "\\u0079"': ['y'],
  'attributes.k-1 = "v" AND attributes."k 2" = "v"': ['quoted'],
};

const REFUSED = [
  'attributes:x AND attributes:y OR attributes:z',
  'attributes.x == "y"',
  "attributes.x = 'y'",
  'attributes.x = y',
  'attributes.x = "y',
  'attributes:x and attributes:z',
  'attributes:x AND',
  'hasSuffix(attributes.x, "y")',
  'data = "x"',
  '()',
  `attributes.x = "${'y'.repeat(250)}"`,
];

export function testFilters(kit: () => Kit): void {
  test('delivers only the messages that pass the filter', async () => {
    const topic = await kit().createTopic();
    const filters = Object.keys(PASSES);
    const subscriptions = await Promise.all(
      filters.map((filter) => kit().createSubscription(topic, { filter })),
    );
    const messages = Object.entries(MESSAGES).map(([name, attributes]) => ({
      data: Buffer.from(name),
      attributes,
    }));
    await kit().publisher.publish({ topic, messages });
    const received = await Promise.all(
      subscriptions.map(async (subscription) => toTexts(await kit().pull(subscription, 10))),
    );
    const all = Object.keys(MESSAGES).sort();
    const expected = filters.map((filter) => (kit().differs('filters') ? all : PASSES[filter]));
    assert.deepEqual(
      Object.fromEntries(filters.map((filter, at) => [filter, received[at]])),
      Object.fromEntries(filters.map((filter, at) => [filter, expected[at]])),
    );
  });

  test('refuses invalid filters', async () => {
    const topic = await kit().createTopic();
    for (const filter of REFUSED) {
      const creation = kit().createSubscription(topic, { filter });
      if (kit().differs('filters')) await creation;
      else await assert.rejects(creation, { code: status.INVALID_ARGUMENT }, filter);
    }
  });
}
