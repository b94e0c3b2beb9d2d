/** Walks through a section of docs/operate/runbook.md on a broken stack: runs its commands as an operator does. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import type { TestContext } from 'node:test';
import { sha256 } from '../../services/api-keys.ts';
import { runCli } from '../../clients/cli.ts';
import { runNode } from '../../processes/processes.ts';
import { startStack, type Stack, type TaskJson } from '../../stack.ts';
import { waitFor } from '../../wait-for.ts';
import { readCommands } from './page.ts';

const aliceKey = 'alice-key';
const operatorKey = 'operator-key';
const keys = {
  AUTH_MODES: 'api-key',
  API_KEYS: `alice:${sha256(aliceKey)},ops:${sha256(operatorKey)} scopes=read+send+operator`,
};

export interface FollowOptions {
  /** Values of the placeholders, and of other words. */
  values?: Readonly<Record<string, string>>;
  /** Words to add. */
  more?: readonly string[];
  /** Expected exit status. Default: 0. */
  status?: number;
  env?: Readonly<Record<string, string>>;
}

export interface Walk {
  readonly stack: Stack;
  /** Runs a command of the section, and returns what it prints. */
  follow: (command: string, options?: FollowOptions) => Promise<string>;
  /** Sends a task of alice, and returns its id. @throws {Error} if it is refused */
  send: (text: string, configuration?: object) => Promise<string>;
  cancel: (taskId: string) => Promise<void>;
  until: (taskId: string, condition: (task: TaskJson) => boolean) => Promise<TaskJson>;
}

/**
 * Runs a walk on a new stack, and checks that it follows every command of its section.
 *
 * @param env of the services
 */
export async function walkThrough(
  t: TestContext,
  section: string,
  env: Readonly<Record<string, string>>,
  walk: (walk: Walk) => Promise<void>,
): Promise<void> {
  const stack = await startStack(t, { ...keys, ...env });
  const commands = readCommands(section);
  const left = new Set(commands);
  const call = (method: string, params: object) => stack.rpc(method, params, { 'x-api-key': aliceKey });
  await walk({
    stack,
    follow: async (command, { values = {}, more = [], status = 0, env: own = {} } = {}) => {
      assert.ok(commands.includes(command), `the section ${section} has no command ${command}`);
      left.delete(command);
      const words = [...command.split(' ').map((word) => values[word] ?? word), ...more];
      const result =
        words[0] === 'longhaul' ? await runLonghaul(words.slice(1), own) : await runAdmin(words, own);
      assert.equal(result.status, status, `${words.join(' ')}: ${result.output}`);
      return result.output;
    },
    send: async (text, configuration = {}) => {
      const message = { messageId: randomUUID(), role: 'ROLE_USER', parts: [{ text }] };
      const params = { message, configuration: { returnImmediately: true, ...configuration } };
      const { result, error } = await call('SendMessage', params);
      if (error !== undefined) throw new Error(error.message);
      return result.task.id;
    },
    cancel: async (id) => void (await call('CancelTask', { id })),
    until: (id, condition) =>
      waitFor(`task ${id}`, async () => {
        const { result } = await call('GetTask', { id });
        return condition(result) ? (result as TaskJson) : undefined;
      }),
  });
  assert.deepEqual([...left], [], `the walk through ${section} leaves out commands`);

  async function runLonghaul(args: readonly string[], own: Readonly<Record<string, string>>) {
    const settings = { LONGHAUL_URL: stack.apiUrl, LONGHAUL_API_KEY: operatorKey, ...own };
    const { status, stdout, stderr } = await runCli(args, { env: settings });
    return { status, output: stdout + stderr };
  }

  /** @param words from `deploy/admin.sh` on: its job runs the same program */
  async function runAdmin(words: readonly string[], own: Readonly<Record<string, string>>) {
    const { exited, output } = runNode(t, ['services/admin/main.ts', ...words.slice(1)], {
      env: { ...stack.env, AUDIT_LOG: '/dev/null', ...own },
    });
    const { code } = await exited;
    return { status: code, output: output() };
  }
}
