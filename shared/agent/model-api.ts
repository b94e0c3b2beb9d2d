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
import { isCalledByGoogle, type McpServerDefinition } from './mcp-servers.ts';
import type { ModelSettings } from './model-settings.ts';
import type { Problem } from './problems.ts';

const researchers = /^deep-research-/;
const agents = /^(?:deep-research|antigravity)-/;
const interactionsOnly = /^(?:deep-research|antigravity|gemini-omni)-/;
/** Models that think for minutes, and video. */
const slow = /(?:-pro\b|-deep-think|^gemini-omni-)/;

/** True for one of Google's agents, which the Interactions API names apart from models. */
export function isGoogleAgent(name: string): boolean {
  return agents.test(name);
}

export function isDeepResearch(name: string): boolean {
  return researchers.test(name);
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

/** The parts of a definition that depend on the interface of its model. */
interface Checked {
  model: ModelSettings;
  mcpServers: Record<string, Pick<McpServerDefinition, 'calledBy'>>;
  responseSchema?: object;
}

type Report = (path: string[], text: string) => void;

/** Checks the settings of a model against its interface. */
export function checkModelApi(definition: Checked): Problem[] {
  const problems: Problem[] = [];
  const report: Report = (path, text) =>
    void problems.push({ path, key: true, message: `${path.join('.')}: ${text}` });
  const { model } = definition;
  if (getModelApi(model) === 'generateContent') checkGenerateContent(definition, report);
  else checkInteractions(definition, report);
  if (model.stream !== undefined && (getModelApi(model) === 'generateContent' || !runsInBackground(model))) {
    report(['model', 'stream'], 'is for calls in the background; others are streamed anyway (remove it)');
  }
  checkStorage(model, report);
  checkTiers(model, report);
  checkAgentSettings(model, report);
  return problems;
}

function checkGenerateContent({ model: { name, background }, mcpServers }: Checked, report: Report): void {
  for (const [server, settings] of Object.entries(mcpServers)) {
    if (!isCalledByGoogle(settings)) continue;
    report(['mcpServers', server, 'calledBy'], 'google needs the Interactions API (add api: interactions)');
  }
  if (interactionsOnly.test(name)) {
    report(['model', 'api'], `"${name}" is offered through interactions alone (omit api)`);
  }
  if (background !== undefined && background !== 'never') {
    report(['model', 'background'], 'needs the Interactions API (add api: interactions)');
  }
}

function checkInteractions({ model, mcpServers, responseSchema }: Checked, report: Report): void {
  for (const name of ['topK', 'thinkingBudget'] as const) {
    if (model[name] === undefined) continue;
    report(['model', name], 'the Interactions API does not have it (remove it, or set api: generateContent)');
  }
  if (!isGoogleAgent(model.name)) return;
  if (model.background === 'never') {
    report(['model', 'background'], `"${model.name}" runs in the background alone (omit background)`);
  }
  for (const name of ['temperature', 'topP', 'maxOutputTokens', 'thinkingLevel'] as const) {
    if (model[name] !== undefined) report(['model', name], `"${model.name}" does not have it (remove it)`);
  }
  if (!Object.values(mcpServers).every(isCalledByGoogle)) {
    report(
      ['mcpServers'],
      `"${model.name}" calls its servers itself (add calledBy: google, or remove mcpServers)`,
    );
  }
  if (responseSchema !== undefined) {
    report(['responseSchema'], `"${model.name}" answers with text (remove responseSchema)`);
  }
}

function checkStorage(model: ModelSettings, report: Report): void {
  if (model.store === undefined) return;
  if (getModelApi(model) === 'generateContent') {
    report(['model', 'store'], 'is for the Interactions API; generateContent stores nothing (remove it)');
  } else if (!model.store && runsInBackground(model)) {
    report(['model', 'store'], 'calls in the background are stored (set background: never, or remove it)');
  }
}

function checkTiers(model: ModelSettings, report: Report): void {
  const [tier, problem] =
    getModelApi(model) === 'interactions'
      ? ([
          'batch',
          'the Batch API takes generateContent alone (remove batch, or set api: generateContent)',
        ] as const)
      : (['deferred', 'deferred needs the Interactions API (add api: interactions)'] as const);
  for (const field of ['serviceTier', 'taskServiceTiers'] as const) {
    if ([model[field]].flat().includes(tier)) report(['model', field], problem);
  }
  const mayBatch = [model.serviceTier, ...(model.taskServiceTiers ?? [])].includes('batch');
  if (model.batch !== undefined && !mayBatch) {
    report(['model', 'batch'], 'no task uses it (add the tier batch to serviceTier or taskServiceTiers)');
  }
}

/** Each kind of agent has settings of its own. */
function checkAgentSettings(
  { name, agentConfig = {}, environment, stream }: ModelSettings,
  report: Report,
): void {
  const kinds = [
    {
      fields: ['collaborativePlanning', 'thinkingSummaries', 'visualization'],
      isFor: isDeepResearch(name),
      kind: 'Deep Research',
    },
    {
      fields: ['model', 'maxTotalTokens'],
      isFor: isGoogleAgent(name) && !isDeepResearch(name),
      kind: 'managed agents',
    },
  ] as const;
  for (const { fields, isFor, kind } of kinds) {
    for (const field of fields) {
      if (isFor || agentConfig[field] === undefined) continue;
      report(['model', 'agentConfig', field], `is for ${kind}, not for "${name}" (remove it)`);
    }
  }
  if (environment !== undefined && (!isGoogleAgent(name) || isDeepResearch(name))) {
    report(['model', 'environment'], `is for managed agents, not for "${name}" (remove it)`);
  }
  if (agentConfig.thinkingSummaries === 'auto' && stream !== true) {
    report(
      ['model', 'agentConfig', 'thinkingSummaries'],
      'summaries are shown while they come (add stream: true)',
    );
  }
}
