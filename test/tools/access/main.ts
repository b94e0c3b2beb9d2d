/** `npm run access`: writes the IAM tables of docs/operate/deploy.md. */
import { readFile, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { renderAccessTables, insertAccessTables } from './matrix.ts';

const file = fileURLToPath(new URL('../../../docs/operate/deploy.md', import.meta.url));
await writeFile(file, insertAccessTables(await readFile(file, 'utf8'), await renderAccessTables()));
