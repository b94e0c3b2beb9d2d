/**
 * `npm run check:schema` holds the schema that the migrations make against the checked-in shared/db/schema.sql, so
 * that a change of the schema is seen where it is reviewed; `npm run schema` writes it.
 */
import { readFile, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { startTestServer } from '../../support/database/test-server.ts';
import { describeSchema } from './describe.ts';

const file = fileURLToPath(new URL('../../../shared/db/schema/schema.sql', import.meta.url));
const server = await startTestServer();
try {
  const schema = await describeSchema(server.templateUrl);
  if (process.argv.includes('--write')) {
    await writeFile(file, schema);
  } else if ((await readFile(file, 'utf8').catch(() => '')) !== schema) {
    console.error(
      'shared/db/schema/schema.sql is not what the migrations make: run "npm run schema" and look at the difference',
    );
    process.exitCode = 1;
  }
} finally {
  await server.stop();
}
