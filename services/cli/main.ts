#!/usr/bin/env node
/** The program `longhaul`. */
import { enableCompileCache } from 'node:module';

// Starts three times as fast from the second time on.
enableCompileCache();
const { createProgram } = await import('./program.ts');
await createProgram().parseAsync();
