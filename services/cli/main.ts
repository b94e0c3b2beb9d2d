#!/usr/bin/env node
/** The program `longhaul`. Loads nothing that an old version of Node.js does not have before it has checked the version. */
import module from 'node:module';

const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
if (major < 22 || (major === 22 && minor < 19)) {
  console.error(`longhaul needs Node.js 22.19 or newer: this is ${process.version}.`);
  process.exit(78);
}
// The reader of a pipe may leave early, as head does. The status is that of a program that SIGPIPE ends.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error;
  process.exit(141);
});
// Starts three times as fast from the second time on.
module.enableCompileCache();
const { createProgram } = await import('./program.ts');
await createProgram().parseAsync();
