/** `longhaul card`: fetches the card of an agent, validates it and verifies its signatures. */
import type { Command } from 'commander';
import { verifyCard, type SignatureResult } from '../agent/card-signature.ts';
import { findCardProblems } from '../agent/card-problems.ts';
import { fetchCard, type FetchedCard } from '../agent/card.ts';
import { exitStatus, type ExitStatus } from '../failure.ts';
import { print, printJson, style, toTerminalText } from '../output/terminal.ts';
import { runAction } from '../run.ts';
import { addAgentOptions, checkUrl, getTarget, type AgentOptions } from '../settings/settings.ts';

export function addCardCommand(program: Command): void {
  const command = program
    .command('card')
    .description('Fetch the card of an agent, validate it, and verify its signatures.')
    .argument('[url]', 'address of the agent or of its card (default: that of the other commands)');
  addAgentOptions(command)
    .addHelpText(
      'after',
      `
Agents of A2A 1.0 and 0.3. The status is 1 if the card is not valid, or if it has signatures and none can be verified.
Anyone can sign a card: check that the key is of a host that you trust.

Examples:
  longhaul card https://agent.example.com
  longhaul card http://localhost:8080 --json | jq .card.skills`,
    )
    .action((url: string | undefined, options: AgentOptions) =>
      runAction(async () => {
        const target = url === undefined ? getTarget(options).url : checkUrl(url);
        const fetched = await fetchCard(target);
        const problems = findCardProblems(fetched);
        const signatures = await verifyCard(fetched);
        if (options.json)
          printJson({ url: fetched.url, version: fetched.version, problems, signatures, card: fetched.raw });
        else printCard(fetched, problems, signatures);
        return getStatus(problems, signatures);
      }),
    );
}

function getStatus(problems: readonly string[], signatures: readonly SignatureResult[]): ExitStatus {
  const isVerified = signatures.length === 0 || signatures.some(({ problem }) => problem === undefined);
  return problems.length === 0 && isVerified ? exitStatus.done : exitStatus.failed;
}

function printCard(
  { url, card, version }: FetchedCard,
  problems: readonly string[],
  signatures: readonly SignatureResult[],
): void {
  const field = (name: string, value: string): void =>
    print(`${style('bold', name.padEnd(11))}${toTerminalText(value)}`);
  field('card', `${url} (A2A ${version})`);
  field('name', `${card.name} ${card.version}`);
  if (card.description) field('about', card.description);
  for (const { protocolBinding, protocolVersion, url: endpoint } of card.supportedInterfaces) {
    field('interface', `${protocolBinding} ${protocolVersion || '0.3'}  ${endpoint}`);
  }
  const { streaming, pushNotifications, extendedAgentCard, extensions = [] } = card.capabilities ?? {};
  const can = [
    streaming && 'streaming',
    pushNotifications && 'webhooks',
    extendedAgentCard && 'extended card',
  ];
  field('supports', can.filter(Boolean).join(', ') || 'no optional capability');
  for (const { uri, required } of extensions) field('extension', `${uri}${required ? ' (required)' : ''}`);
  const schemes = Object.entries(card.securitySchemes ?? {});
  field(
    'access',
    schemes
      .map(([name, { scheme }]) => `${name} (${scheme?.$case.replace('SecurityScheme', '')})`)
      .join(', ') || 'open',
  );
  for (const { id, name } of card.skills) field('skill', `${id}: ${name}`);
  if (signatures.length === 0) field('signature', 'none');
  for (const { kid, key, problem } of signatures) {
    field(
      'signature',
      problem === undefined ? `${kid}: verified with the key from ${key}` : `${kid}: ${problem}`,
    );
  }
  for (const problem of problems) field('problem', problem);
}
