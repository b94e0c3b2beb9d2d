/** The tools that both transports serve, in the order in which hosts list them. */
import { readDoc, searchDocs } from './docs/tools.ts';
import type { OpsTool } from './tool.ts';
import { cancel, rerun } from './tools/act.ts';
import { getStats, getWork } from './tools/figures.ts';
import { getSteps, getTask, listTasks } from './tools/tasks.ts';
import { getTimeline } from './tools/timeline.ts';
import { listDeliveries, listWebhooks, redeliver } from './tools/webhooks.ts';

/** They call routes of the front door. */
export const systemTools: readonly OpsTool[] = [
  listTasks,
  getTask,
  getTimeline,
  getSteps,
  getStats,
  getWork,
  listWebhooks,
  listDeliveries,
  redeliver,
  rerun,
  cancel,
];

/** They read the documentation of this installation. */
export const docsTools: readonly OpsTool[] = [searchDocs, readDoc];
