/** `npm run admin -- <command>`: commands for operators. */
import { runAdmin } from './run.ts';

const [name = '', ...args] = process.argv.slice(2);
process.exitCode = await runAdmin(name, args);
