/** `longhaul answer`: sends a message to a task that waits for input or is working. */
import type { Command } from 'commander';
import { runOnAgent } from '../../run.ts';
import { createMessage } from './message.ts';
import { addFileOption, addSendOptions, sendAndWait, type SendOptions } from './send-and-wait.ts';

export function addAnswerCommand(program: Command): void {
  const command = program
    .command('answer')
    .description('Answer a task that waits for input, or add something to one that is working.')
    .argument('<id>', 'id of the task')
    .argument('[text]', 'the message; - reads standard input');
  addSendOptions(addFileOption(command))
    .addHelpText(
      'after',
      `
Examples:
  longhaul answer TASK_ID "The blue one."
  longhaul answer TASK_ID --file invoice.pdf --detach`,
    )
    .action((id: string, text: string | undefined, options: SendOptions & { file: string[] }) =>
      runOnAgent(options, async (context) => {
        // Agents of 0.3 want the context next to the task.
        const { contextId } = await context.agent.get(id, 0);
        const message = await createMessage(text, options.file, {
          taskId: id,
          ...(contextId && { contextId }),
        });
        return await sendAndWait(context, { message });
      }),
    );
}
