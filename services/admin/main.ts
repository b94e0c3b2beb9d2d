/** `npm run admin -- <command>`: commands for operators. */
import { environment } from '#shared/runtime/config/environment.ts';
import { createJobOutput } from './job-output.ts';
import { runAdmin, thisProcess } from './run.ts';

const [name = '', ...args] = process.argv.slice(2);
// Set by Cloud Run.
const isJob = environment['CLOUD_RUN_JOB'] !== undefined;
const output = isJob ? createJobOutput((entry) => process.stdout.write(`${entry}\n`)) : undefined;
// Invalid variables end the process at once.
process.once('exit', (status) => output?.end(status));
process.exitCode = await runAdmin(name, args, { ...thisProcess, ...output });
