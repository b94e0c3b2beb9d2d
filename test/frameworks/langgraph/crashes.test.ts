/** Workers that are killed while graphs run. */
import { test } from 'node:test';
import { killAfterEachStep, killInStream } from '../support/crash-tests.ts';
import { story, title } from './agents/story.ts';

test('a kill after each record repeats no call of a model or a tool', (t) =>
  killAfterEachStep(t, {
    agent: 'langgraph/agents/trip.ts',
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
      answer: 'Let me look.\n\nYour order is late.',
      'answer-2': 'Order 7 is refunded, and it snows in Oslo.',
    },
  }));

test('a kill in the middle of a stream loses and repeats no text', (t) =>
  killInStream(t, {
    agent: 'langgraph/agents/story.ts',
    texts: [`${title}\n\n${story}`],
    calls: ['model 0', 'model 1', 'model 1'],
  }));
