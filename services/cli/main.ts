#!/usr/bin/env node
/** The program `longhaul`. Each file in commands/ adds one command, or one group of them. */
import { Command } from 'commander';
import { addServiceCommands } from './commands/services.ts';

const program = new Command('longhaul')
  .description('Runs durable agents behind the Agent2Agent (A2A) protocol.')
  .enablePositionalOptions()
  .showHelpAfterError('Run longhaul --help for all commands.');
addServiceCommands(program);
await program.parseAsync();
