/** `longhaul webhooks`: shows, repeats and tests the webhooks of a task, forwards events to a local receiver, and receives them. */
import type { Command } from 'commander';
import { addRedeliverCommand, addRotateSecretCommand, addTestCommand } from './act.ts';
import { addListenCommand } from './listen.ts';
import { addReceiveCommand } from './receive.ts';
import { addDeliveriesCommand, addListCommand } from './show.ts';

export function addWebhookCommands(program: Command): void {
  const group = program
    .command('webhooks')
    .description('Show, repeat and test webhooks, forward events to this machine, or receive them.');
  addListCommand(group);
  addDeliveriesCommand(group);
  addRedeliverCommand(group);
  addTestCommand(group);
  addRotateSecretCommand(group);
  addListenCommand(group);
  addReceiveCommand(group);
}
