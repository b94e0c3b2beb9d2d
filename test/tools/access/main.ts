/** `npm run access`: writes the tables of docs/deploy.md that say who may do what. */
import { readFile, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { describeAccess, withAccess } from './matrix.ts';

const file = fileURLToPath(new URL('../../../docs/deploy.md', import.meta.url));
await writeFile(file, withAccess(await readFile(file, 'utf8'), await describeAccess()));
