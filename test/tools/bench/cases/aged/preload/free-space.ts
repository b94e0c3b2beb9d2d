/**
 * The maps of free space of a loaded database, which are removed while its server is down. PostgreSQL makes new ones
 * (documentation, section 65.3).
 *
 * Each page of a copied table ends with a gap that no copied row fits, and vacuum has recorded all of them. In a
 * database that has grown over months, small rows have filled such gaps long ago. With the maps, each small row that is
 * measured would go to another old page; without them, rows go to the end of their table.
 */
import { Client } from 'pg';

/** Returns the files, with the directory of the server. Those of small tables do not exist. */
export async function findFreeSpaceMaps(url: string): Promise<string[]> {
  const client = new Client({ connectionString: url });
  await client.connect();
  try {
    const { rows } = await client.query<{ file: string }>(
      `select current_setting('data_directory') || '/' || pg_relation_filepath(oid) || '_fsm' as file
       from pg_class where relkind = 'r' and relnamespace = 'public'::regnamespace`,
    );
    return rows.map(({ file }) => file);
  } finally {
    await client.end();
  }
}
