/**
 * Which of Google's two interfaces a model is called through, and whether its calls run in the background. Pure.
 *
 * | names | kind | offered through | source, as of its date |
 * |---|---|---|---|
 * | `deep-research-…` | agent | Interactions alone | ai.google.dev/gemini-api/docs/interactions/deep-research, 2026-06-22 |
 * | `antigravity-…` | agent | Interactions alone | ai.google.dev/gemini-api/docs/antigravity-agent, 2026-06-22 |
 * | `gemini-omni-…` | model | Interactions alone | names in the types of @google/genai 3.1; not tried against Google |
 * | all others | model | both | ai.google.dev/gemini-api/docs/interactions, 2026-06-22 |
 */
import type { Problem } from './problems.ts';

/** The settings of a model; see definition.ts. */
interface ModelSettings {
  name: string;
  api?: 'interactions' | 'generateContent';
  background?: 'always' | 'never' | 'auto';
  temperature?: number;
  topP?: number;
  topK?: number;
  maxOutputTokens?: number;
  thinkingBudget?: number;
  thinkingLevel?: string;
}

const agents = /^(?:deep-research|antigravity)-/;
const interactionsOnly = /^(?:deep-research|antigravity|gemini-omni)-/;
/** Models that think for minutes, and video. */
const slow = /(?:-pro\b|-deep-think|^gemini-omni-)/;

/** True for one of Google's agents, which the Interactions API names apart from models. */
export function isGoogleAgent(name: string): boolean {
  return agents.test(name);
}

export function getModelApi({
  name,
  api,
}: Pick<ModelSettings, 'name' | 'api'>): 'interactions' | 'generateContent' {
  return api ?? (interactionsOnly.test(name) ? 'interactions' : 'generateContent');
}

/** True if calls run at Google while no worker waits for them. */
export function runsInBackground({ name, background = 'auto', thinkingLevel }: ModelSettings): boolean {
  if (background !== 'auto') return background === 'always';
  return isGoogleAgent(name) || slow.test(name) || thinkingLevel === 'high';
}

/** Checks the settings of a model against its interface. */
export function checkModelApi({
  model,
  mcpServers,
  responseSchema,
}: {
  model: ModelSettings;
  mcpServers: object;
  responseSchema?: object;
}): Problem[] {
  const problems: Problem[] = [];
  const report = (path: string[], text: string): void =>
    void problems.push({ path, key: true, message: `${path.join('.')}: ${text}` });
  const isAgent = isGoogleAgent(model.name);
  if (getModelApi(model) === 'generateContent') {
    if (interactionsOnly.test(model.name)) {
      report(['model', 'api'], `"${model.name}" is offered through interactions alone (omit api)`);
    }
    if (model.background !== undefined && model.background !== 'never') {
      report(['model', 'background'], 'needs the Interactions API (add api: interactions)');
    }
    return problems;
  }
  for (const name of ['topK', 'thinkingBudget'] as const) {
    if (model[name] === undefined) continue;
    report(['model', name], 'the Interactions API does not have it (remove it, or set api: generateContent)');
  }
  if (!isAgent) return problems;
  if (model.background === 'never') {
    report(['model', 'background'], `"${model.name}" runs in the background alone (omit background)`);
  }
  for (const name of ['temperature', 'topP', 'maxOutputTokens', 'thinkingLevel'] as const) {
    if (model[name] !== undefined) report(['model', name], `"${model.name}" does not have it (remove it)`);
  }
  if (Object.keys(mcpServers).length > 0) {
    report(['mcpServers'], `"${model.name}" runs its own tools alone (remove mcpServers)`);
  }
  if (responseSchema !== undefined) {
    report(['responseSchema'], `"${model.name}" answers with text (remove responseSchema)`);
  }
  return problems;
}
