/** Workers that are killed while agents of ADK run. */
import { test } from 'node:test';
import { killAfterEachStep, killInStream } from '../support/crash-tests.ts';
import { story, title } from './agents/story.ts';

test('a kill after each record repeats no call of a model or a tool', (t) =>
  killAfterEachStep(t, {
    agent: 'adk/agents/trip.ts',
    firstOfTwo: 'paris 1',
    calls: [
      'paris 0',
      'paris 1',
      'refund 7',
      'rome 0',
      'rome 1',
      'time',
      'trip 0',
      'trip 1',
      'trip 2',
      'weather Paris',
      'weather Rome',
    ],
    modelCalls: 7,
    texts: {
      trip: 'Let me look.\n\nYour order is late.',
      paris: 'It is sunny in Paris.',
      rome: 'It is sunny in Rome.',
      'trip-2': 'Order 7 is refunded.',
    },
  }));

test('a kill in the middle of a stream loses and repeats no text', (t) =>
  killInStream(t, {
    agent: 'adk/agents/story.ts',
    texts: [title, story],
    calls: ['story', 'story', 'title'],
  }));
