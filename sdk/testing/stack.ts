/** A real stack for a test: the database, the queues, the offline model and the services, as `longhaul dev` runs them. */
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { readOptions } from '#services/local/options.ts';
import { startLocalStack } from '#services/local/stack.ts';
import type { Print } from '#services/local/processes/log-output.ts';
import { Supervisor } from '#services/local/processes/supervisor.ts';
import { environment } from '#shared/runtime/config/environment.ts';
import type { AgentClient } from '../client/agent.ts';
import { connect } from '../client/connect.ts';

/** Variables of the shell that would connect the stack with other systems. */
const notPassed =
  /^(?:PORT|GRPC_PORT|DATA_DIR|AGENT_FILE|AGENT_MODULE|WORKERS|GEMINI_API_KEY|GOOGLE_(?:API_KEY|GENAI_USE_VERTEXAI|GEMINI_BASE_URL|CLOUD_PROJECT)|.*_EMULATOR_HOST|DATABASE_URL)$/;

export interface StackOptions {
  /** The agent: paths of its YAML, its module, or both. */
  agent: string | readonly string[];
  /** Variables of the services (docs/operate/configuration.md). */
  env?: Readonly<Record<string, string>>;
}

export interface StackLogEntry {
  /** The process: `api`, `worker`, `dispatcher`, `postgres` … */
  service: string;
  severity: string;
  message: string;
  [field: string]: unknown;
}

export interface TestStack {
  /** Base URL of the api. */
  readonly url: string;
  readonly client: AgentClient;
  /** The log of all processes so far. */
  readonly log: readonly StackLogEntry[];
  /** Stops all processes and removes their data. They also end with the process of the test. */
  stop(): Promise<void>;
}

/**
 * Starts a stack on free ports, with data of its own, in a few seconds. Start one for all tests of a file.
 *
 * @throws {Error} if a process does not start, with its output
 */
export async function startStack({ agent, env = {} }: StackOptions): Promise<TestStack> {
  const dataDir = mkdtempSync(path.join(os.tmpdir(), 'longhaul-stack-'));
  // PostgreSQL does not run as root, so another user needs the way to its data.
  chmodSync(dataDir, 0o711);
  const log: StackLogEntry[] = [];
  const print: Print = (service, entry) => void log.push({ ...entry, service });
  const supervisor = new Supervisor(print);
  const stop = async (): Promise<void> => {
    await supervisor.stop();
    rmSync(dataDir, { recursive: true, force: true });
  };
  const inherited = Object.entries(environment).filter(([name]) => !notPassed.test(name));
  const variables = {
    ...Object.fromEntries(inherited),
    ...Object.fromEntries([agent].flat().map((file) => [getVariable(file), path.resolve(file)])),
    PORT: '0',
    DATA_DIR: path.join(dataDir, 'data'),
    ...env,
  };
  try {
    const { port } = await startLocalStack(readOptions({}, variables), variables, supervisor, print);
    const url = `http://localhost:${port}`;
    return { url, client: await connect(url), log, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

function getVariable(file: string): 'AGENT_FILE' | 'AGENT_MODULE' {
  return /^\.ya?ml$/.test(path.extname(file)) ? 'AGENT_FILE' : 'AGENT_MODULE';
}
