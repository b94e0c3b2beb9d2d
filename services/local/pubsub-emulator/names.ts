/** Resource names, following cloud.google.com/pubsub/docs/pubsub-basics#resource_names. */
import { alreadyExists, invalid, notFound, type StatusError } from '../emulator/status.ts';

const namePattern = /^projects\/([^/]+)\/(topics|subscriptions)\/([A-Za-z][A-Za-z0-9\-_.~+%]{2,254})$/;
const projectPattern = /^projects\/[^/]+$/;

/** @throws {StatusError} INVALID_ARGUMENT */
export function checkPubSubName(name: string, kind: 'topics' | 'subscriptions'): void {
  const match = namePattern.exec(name);
  if (!match || match[2] !== kind || match[3]?.startsWith('goog')) {
    throw invalid(
      `Invalid resource name (name=${name}): expected projects/PROJECT/${kind}/ID, where ID has 3 to 255 letters, ` +
        'digits and -_.~+%, starts with a letter and does not start with "goog".',
    );
  }
}

/** @throws {StatusError} INVALID_ARGUMENT */
export function checkProject(name: string): void {
  if (!projectPattern.test(name))
    throw invalid(`Invalid project name (name=${name}): expected projects/PROJECT.`);
}

/** Splits a valid name into its parts. */
export function parseName(name: string): { project: string; id: string } {
  const [, project = '', , id = ''] = name.split('/');
  return { project, id };
}

/** The message contains only the last part of the name, as in the service. */
export function resourceNotFound(name: string): StatusError {
  return notFound(`Resource not found (resource=${name.split('/').at(-1)}).`);
}

export function resourceExists(name: string): StatusError {
  return alreadyExists(`Resource already exists in the project (resource=${name.split('/').at(-1)}).`);
}
