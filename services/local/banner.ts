/** What a person is told once everything is up. */
import type { LocalOptions, ModelSource } from './options.ts';
import type { LocalStack } from './stack.ts';

const models: Record<ModelSource, string> = {
  offline: 'the offline model (no network, simple honest work). Real Gemini: GEMINI_API_KEY=… npm start',
  'gemini-api': 'Gemini, by the API key',
  'vertex-ai': 'Gemini on Vertex AI',
  'own-address': 'what answers at GOOGLE_GEMINI_BASE_URL',
};

export function servicesBanner(stack: LocalStack, options: LocalOptions): string {
  const url = `http://localhost:${stack.port}`;
  const workers = options.workers === 0 ? '\n  No worker runs: tasks are accepted and wait (WORKERS=0)' : '';
  return `
  Longhaul is up: ${url}
  Agent card     ${url}/.well-known/agent-card.json
  Data           ${dataLine(stack, options)}
  Model          ${models[options.model]}
  Webhooks       receivers on this machine are allowed${workers}

  Submit a task:

${curl(url, 'SendMessage', `{"message":{"messageId":"try-'$(date +%s)'","role":"ROLE_USER","parts":[{"text":"What is 6 times 7?"}]},"configuration":{"returnImmediately":true}}`)}

  Read it, with the id from the answer:

${curl(url, 'GetTask', '{"id":"TASK_ID"}')}

  Ctrl-C stops everything.
`;
}

function curl(url: string, method: string, params: string): string {
  return `    curl -s ${url}/a2a/jsonrpc -H 'Content-Type: application/json' -H 'A2A-Version: 1.0' \\
      -d '{"jsonrpc":"2.0","id":1,"method":"${method}","params":${params}}'`;
}

export function infraBanner(stack: LocalStack, options: LocalOptions): string {
  const exports = Object.entries(stack.variables).map(([name, value]) => `export ${name}=${quote(value)}`);
  return `
# The stand-ins are up and hold until Ctrl-C. Data: ${dataLine(stack, options)}
# Model: ${models[options.model]}
# In other terminals:

${exports.join('\n')}

# Then, each as often as you like but for the ports:
#   PORT=${stack.port} npm run api
#   PORT=0 npm run worker
#   PORT=${stack.dispatcherPort} npm run dispatcher
`;
}

function dataLine({ dataDir }: LocalStack, options: LocalOptions): string {
  if (options.databaseUrl !== undefined) return 'in the database of DATABASE_URL';
  if (dataDir === options.dataDir) return dataDir;
  return `${dataDir}, since PostgreSQL does not run as root and others cannot reach ${options.dataDir}`;
}

function quote(value: string): string {
  return /^[\w@%+=:,./-]+$/.test(value) ? value : `'${value.replaceAll("'", String.raw`'\''`)}'`;
}
