/** Workers that are killed while agents of the AI SDK run. */
import { test } from 'node:test';
import { killAfterEachStep, killInStream } from '../support/crash-tests.ts';
import { story } from './agents/story.ts';
import { major } from './version.ts';

const skip = major < 6 && 'AI SDK 5 has no approvals';

test('a kill after each step makes each call of a model and a tool once', { skip }, (t) =>
  killAfterEachStep(t, {
    agent: 'ai-sdk/agents/trip.ts',
    firstOfTwo: 'weather Paris',
    calls: [
      'model 0',
      'model 1',
      'model 2',
      'model 3',
      'model 4',
      'refund 7',
      'time',
      'weather Oslo',
      'weather Paris',
      'weather Rome',
    ],
    modelCalls: 5,
    texts: {
      answer: 'Your order is late.',
      'answer-2': 'Order 7 is refunded, and it snows in Oslo.',
    },
  }),
);

test('a kill in the middle of a stream loses and repeats no text', (t) =>
  killInStream(t, { agent: 'ai-sdk/agents/story.ts', texts: [story], calls: ['model', 'model'] }));
