/** `longhaul webhooks`: shows, repeats and tests the webhooks of a task, and forwards events to a local receiver. */
import type { Command } from 'commander';
import { addRedeliverCommand, addRotateSecretCommand, addTestCommand } from './act.ts';
import { addListenCommand } from './listen.ts';
import { addDeliveriesCommand, addListCommand } from './show.ts';

export function addWebhookCommands(program: Command): void {
  const group = program
    .command('webhooks')
    .description('Show, repeat and test webhooks, or forward events to this machine.');
  addListCommand(group);
  addDeliveriesCommand(group);
  addRedeliverCommand(group);
  addTestCommand(group);
  addRotateSecretCommand(group);
  addListenCommand(group);
}
