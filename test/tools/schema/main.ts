/**
 * `npm run check:schema` compares the schema that the migrations create with the checked-in schema.sql, so
 * that reviews show every change of the schema. `npm run schema` writes that file.
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
      'shared/db/schema/schema.sql differs from the migrations: run "npm run schema" and review the difference',
    );
    process.exitCode = 1;
  }
} finally {
  await server.stop();
}
