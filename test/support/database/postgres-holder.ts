/** Starts an embedded PostgreSQL in the given directory, prints its address, and stops it on SIGTERM. */
import { startPostgres } from '#services/local/postgres/postgres.ts';

const [dataDir] = process.argv.slice(2);
if (dataDir === undefined) throw new Error('usage: postgres-holder.ts DATA_DIR');
const postgres = await startPostgres({ dataDir });
console.log(`ready ${postgres.url} ${postgres.dataDir}`);
process.once('SIGTERM', () => void postgres.stop());
