/**
 * Resource names (`projects/P/locations/L/queues/Q/tasks/T`), with the characters and lengths that Cloud
 * Tasks allows.
 */
import { invalid } from '../emulator/status.ts';

const location = 'projects/[A-Za-z0-9:.-]+/locations/[A-Za-z0-9-]+';
const queue = `${location}/queues/[A-Za-z0-9-]{1,100}`;
const patterns = {
  location: new RegExp(`^${location}$`),
  queue: new RegExp(`^${queue}$`),
  task: new RegExp(`^${queue}/tasks/[A-Za-z0-9_-]{1,500}$`),
};

/** @throws {StatusError} INVALID_ARGUMENT if `name` is not the name of a `kind` */
export function checkCloudTasksName(kind: keyof typeof patterns, name: string | null | undefined): string {
  if (typeof name !== 'string' || !patterns[kind].test(name)) {
    throw invalid(`Invalid resource name "${name ?? ''}": expected the name of a ${kind}.`);
  }
  return name;
}

export function getQueueName(taskName: string): string {
  return taskName.slice(0, taskName.indexOf('/tasks/'));
}
