/** The version of the AI SDK that the tests run with. */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const { version } = JSON.parse(
  readFileSync(fileURLToPath(import.meta.resolve('ai/package.json')), 'utf8'),
) as { version: string };

export const major = Number(version.split('.')[0]);

/** The specification of the models that this version calls without conversion. */
export const specificationVersion = `v${major - 3}`;
