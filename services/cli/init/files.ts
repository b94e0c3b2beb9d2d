/** The texts of the files that `longhaul init` writes. */
export const languages = ['yaml', 'typescript', 'javascript'] as const;
export type Language = (typeof languages)[number];

const definition = `# The agent: docs/agents of longhaul explains all fields.
name: My agent
description: Answers questions.
version: 0.1.0
skills:
  - id: answer
    name: Answer
    description: Answers a question.
    tags: [text]
# For the model; an agent in code ignores it.
instruction: Answer briefly.
`;

const run = `  async run(turn) {
    // Runs once, even if the worker dies right afterwards: the result is recorded.
    const length = await turn.step('measure', async () => JSON.stringify(turn.message.parts).length);
    await turn.artifact({ artifactId: 'answer', parts: [{ text: \`The message has \${length} characters of JSON.\` }] });
    return { state: 'TASK_STATE_COMPLETED' };
  },
};

export default agent;
`;

export const agentFiles: Record<Language, Record<string, string>> = {
  yaml: { 'agent.yaml': definition },
  typescript: {
    'agent.yaml': definition,
    'agent.ts': `import type { Agent } from 'longhaul/agent';\n\nconst agent: Agent = {\n${run}`,
    'tsconfig.json': `{
  "compilerOptions": {
    "target": "es2024",
    "module": "nodenext",
    "strict": true,
    "noEmit": true,
    "erasableSyntaxOnly": true,
    "types": ["node"]
  }
}
`,
  },
  javascript: {
    'agent.yaml': definition,
    'agent.js': `/** @type {import('longhaul/agent').Agent} */\nconst agent = {\n${run}`,
  },
};

export const commonFiles: Record<string, string> = {
  '.gitignore': `node_modules/\n.longhaul/\n.env\n`,
  '.dockerignore': `node_modules\n.git\n.longhaul\n.env\n`,
  Dockerfile: `# One image for all services; the command chooses the service:
#   docker run … IMAGE            the worker
#   docker run … IMAGE api        the api; also dispatcher and migrate
FROM node:24-bookworm-slim
ENV NODE_ENV=production PORT=8080
WORKDIR /app
COPY package.json package-lock.json ./
# Without the embedded PostgreSQL, which only longhaul dev uses.
RUN npm ci --omit=dev --omit=optional --ignore-scripts --no-audit --no-fund
COPY . .
USER 1000:1000
ENTRYPOINT ["node", "node_modules/longhaul/services/cli/main.js"]
CMD ["worker"]
`,
  'README.md': `# My agent

\`\`\`sh
npm install
npx longhaul dev            # runs everything on this machine, and restarts the worker when the agent changes
npx longhaul send "Hello"   # in another terminal
\`\`\`
`,
};
