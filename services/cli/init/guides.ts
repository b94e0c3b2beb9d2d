/** The files for coding agents: `AGENTS.md` with the rules of docs/develop/rules.md, and the skill of the package. */
import { readFileSync } from 'node:fs';
import type { ProjectOptions } from './files.ts';

const kinds: Record<ProjectOptions['language'], string> = {
  yaml: '`agent.yaml` is the agent, as data: `node_modules/longhaul/agent.yaml` explains every field. The rules below apply to tools in code, and to an agent in code (`agent.ts`).',
  typescript: '`agent.ts` is the agent, and `agent.test.ts` its test. `npx tsc` checks the types.',
  javascript: '`agent.js` is the agent, and `agent.test.js` its test.',
  gateway:
    '`agent.yaml` names an agent that runs elsewhere: `node_modules/longhaul/docs/develop/gateway.md` explains every field.',
};

const testLine = '- `npm test` crashes the agent after each step. Run it after every change.\n';

const createHeader = ({ name, language }: ProjectOptions): string => `# ${name}

A durable agent on [Longhaul](node_modules/longhaul/README.md). ${kinds[language]}

${language === 'gateway' ? '' : testLine}- \`npx longhaul dev\` runs everything on this machine, and \`npx longhaul send "Hello"\` sends a message in another terminal.
- \`npx longhaul timeline ID\` shows what a task did, step by step.
- \`npx longhaul mcp\` serves tools over MCP to find out why a task, a step or a webhook failed: \`node_modules/longhaul/docs/develop/coding-agents.md\` says how to connect it.
- \`node_modules/longhaul/llms.txt\` lists the documentation of the installed version.
- Ask a person before \`npx longhaul deploy\`.
`;

/**
 * Both folders of skills have the same file: Codex and Gemini CLI read `.agents/skills`, Claude Code `.claude/skills`.
 * Claude Code reads no `AGENTS.md`, but imports it.
 */
export function createGuides(options: ProjectOptions): Record<string, string> {
  const skill = readFromPackage('skills/longhaul/SKILL.md');
  return {
    'AGENTS.md': createHeader(options) + (options.language === 'gateway' ? '' : `\n${readRules()}`),
    'CLAUDE.md': '@AGENTS.md\n',
    '.agents/skills/longhaul/SKILL.md': skill,
    '.claude/skills/longhaul/SKILL.md': skill,
  };
}

/** Its title becomes a section, and its links lead to the pages of the installed package. */
function readRules(): string {
  return readFromPackage('docs/develop/rules.md')
    .replace(/^# .*$/m, '## Rules')
    .replaceAll(/\]\((?=[\w/-]+\.md)/g, '](node_modules/longhaul/docs/develop/')
    .replaceAll('](../', '](node_modules/longhaul/docs/');
}

function readFromPackage(file: string): string {
  return readFileSync(new URL(file, import.meta.resolve('longhaul/package.json')), 'utf8');
}
