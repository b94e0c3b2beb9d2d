/** Routes that act on several tasks or webhooks, and the stream of a timeline. All suites share one service. */
import { describe } from 'node:test';
import { testOperators } from './operators.ts';
import { useRoutes } from './routes.ts';
import { testTasks } from './tasks.ts';
import { testTimelines } from './timelines.ts';
import { testWebhooks } from './webhooks.ts';

describe('acting on several tasks and webhooks', () => {
  const routes = useRoutes();
  testTasks(routes);
  testWebhooks(routes);
  testTimelines(routes);
  testOperators(routes);
});
