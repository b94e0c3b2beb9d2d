/** Names of resources, as cloud.google.com/pubsub/docs/pubsub-basics#resource_names has them. */
import { invalid } from './status.ts';

const NAME = /^projects\/([^/]+)\/(topics|subscriptions)\/([A-Za-z][A-Za-z0-9\-_.~+%]{2,254})$/;
const PROJECT = /^projects\/[^/]+$/;

/** @throws {StatusError} INVALID_ARGUMENT */
export function checkName(name: string, kind: 'topics' | 'subscriptions'): void {
  const match = NAME.exec(name);
  if (!match || match[2] !== kind || match[3]?.startsWith('goog')) {
    throw invalid(
      `Invalid resource name given (name=${name}): it must be projects/PROJECT/${kind}/ID, where ID is 3 to 255 ` +
        'letters, digits and -_.~+%, begins with a letter and not with "goog".',
    );
  }
}

/** @throws {StatusError} INVALID_ARGUMENT */
export function checkProject(name: string): void {
  if (!PROJECT.test(name))
    throw invalid(`Invalid project name given (name=${name}): it must be projects/PROJECT.`);
}

/** The parts of a name that was checked. */
export function partsOf(name: string): { project: string; id: string } {
  const [, project = '', , id = ''] = name.split('/');
  return { project, id };
}
