/** The texts that `npm start` prints when everything is running. */
import type { LocalOptions, ModelSource } from './options.ts';
import type { LocalStack } from './stack.ts';

const modelDescriptions: Record<ModelSource, string> = {
  offline: 'offline model (simple rules, no network)',
  'gemini-api': 'Gemini, with your API key',
  'vertex-ai': 'Gemini on Vertex AI',
  'custom-url': 'the server at GOOGLE_GEMINI_BASE_URL',
};

/** The agent that the command line calls by default. */
const defaultUrl = 'http://localhost:8080';

/** @param usesModel whether the agent may call a model; one behind a gateway runs elsewhere */
export function createServicesBanner(stack: LocalStack, options: LocalOptions, usesModel: boolean): string {
  const url = `http://localhost:${stack.port}`;
  const workers =
    options.workers === 0 ? '\n  Workers        none (WORKERS=0): tasks are accepted but do not run' : '';
  return `
  Longhaul is running at ${url}

${describeConsole(url, options)}  Agent card     ${url}/.well-known/agent-card.json
  gRPC           localhost:${stack.grpcPort}
  Agent          ${describeAgent(options)}
  Model          ${describeModel(options, usesModel)}
  Data           ${describeData(stack, options)}${describeCallers(options)}
  Webhooks       may be sent to this machine${workers}

  Send a task, in another terminal:

    ${createCommand(url, options)}

  The same over HTTP, then read it with the id from the response:

${createCurl(url, options, 'SendMessage', `{"message":{"messageId":"try-'$(date +%s)'","role":"ROLE_USER","parts":[{"text":"What is 6 times 7?"}]},"configuration":{"returnImmediately":true}}`)}

${createCurl(url, options, 'GetTask', '{"id":"TASK_ID"}')}

  Press Ctrl-C to stop everything.
`;
}

/** Valid shell code: its comments and exports can be pasted into another terminal. */
export function createInfraBanner(stack: LocalStack, options: LocalOptions, usesModel: boolean): string {
  const exports = Object.entries(stack.variables).map(([name, value]) => `export ${name}=${quote(value)}`);
  return `
# The infrastructure is running. Press Ctrl-C to stop it.
#   Agent   ${describeAgent(options)}
#   Model   ${describeModel(options, usesModel)}
#   Data    ${describeData(stack, options)}
#
# Set these variables in the terminals in which you run the services. Also export the variables
# that you set for this command, such as GEMINI_API_KEY or AGENT_FILE.

${exports.join('\n')}

# Start the services, each in its own terminal. You can start any number of workers.
#   PORT=${stack.port} GRPC_PORT=${stack.grpcPort} npm run api
#   PORT=0 npm run worker
#   PORT=${stack.dispatcherPort} npm run dispatcher
`;
}

function createCommand(url: string, { authModes }: LocalOptions): string {
  const key = authModes.length === 0 ? '' : 'LONGHAUL_API_KEY=… ';
  const target = url === defaultUrl ? '' : ` --url ${url}`;
  return `${key}npx longhaul send "What is 6 times 7?"${target}`;
}

function createCurl(url: string, { authModes }: LocalOptions, method: string, params: string): string {
  const [mode] = authModes;
  const header =
    mode === undefined ? '' : ` -H '${mode === 'api-key' ? 'x-api-key: ' : 'Authorization: Bearer '}…'`;
  return `    curl -s ${url}/a2a/jsonrpc -H 'Content-Type: application/json' -H 'A2A-Version: 1.0'${header} \\
      -d '{"jsonrpc":"2.0","id":1,"method":"${method}","params":${params}}'`;
}

/** An agent in code may call the model or not. */
function describeAgent({ agentFile, agentModule, dev }: LocalOptions): string {
  const from = (variable: string): string => (dev ? '' : ` (${variable})`);
  if (agentModule !== undefined)
    return `${agentModule}${from('AGENT_MODULE')}; it decides whether the model is used`;
  return agentFile === undefined ? 'agent.yaml of this project' : `${agentFile}${from('AGENT_FILE')}`;
}

function describeModel({ model, dev, infra }: LocalOptions, usesModel: boolean): string {
  if (!usesModel) return 'none: the agent runs elsewhere';
  if (model !== 'offline') return modelDescriptions[model];
  const command = dev ? 'npx longhaul dev' : `npm start${infra ? ' -- --infra' : ''}`;
  return `${modelDescriptions[model]}. For Gemini: GEMINI_API_KEY=… ${command}`;
}

function describeConsole(url: string, { console: isServed }: LocalOptions): string {
  return isServed ? `  Console        ${url}/console/\n` : '';
}

function describeCallers({ authModes }: LocalOptions): string {
  return authModes.length === 0
    ? ''
    : `\n  Callers        must authenticate: ${authModes.join(' or ')} (AUTH_MODES)`;
}

function describeData({ dataDir }: LocalStack, options: LocalOptions): string {
  if (options.databaseUrl !== undefined) return 'in the database of DATABASE_URL';
  if (dataDir === options.dataDir) return dataDir;
  return `${dataDir} (PostgreSQL cannot run as root, and other users cannot access ${options.dataDir})`;
}

function quote(value: string): string {
  return /^[\w@%+=:,./-]+$/.test(value) ? value : `'${value.replaceAll("'", String.raw`'\''`)}'`;
}
