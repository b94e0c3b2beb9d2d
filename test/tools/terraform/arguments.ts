/** The arguments that the module in deploy/terraform sets, and the table that records the page of each. */
import { globSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { parseHcl, type Block } from './hcl.ts';

export const moduleDir = path.resolve(import.meta.dirname, '../../../deploy/terraform');
export const tableFile = path.join(moduleDir, 'arguments.txt');

/** Arguments of Terraform itself. */
const metaArguments = new Set(['for_each', 'depends_on', 'provider', 'lifecycle']);

export interface Resource extends Block {
  /** `resource`, `data` or `ephemeral`. */
  kind: string;
}

/** Reads the resources of the module, in the order of files and lines. */
export function readResources(): Resource[] {
  const files = globSync('*.tf', { cwd: moduleDir }).toSorted();
  return files
    .flatMap((file) => parseHcl(readFileSync(path.join(moduleDir, file), 'utf8')))
    .filter(({ type }) => ['resource', 'data', 'ephemeral'].includes(type))
    .map((block) => ({ ...block, kind: block.type }));
}

/** Returns the arguments of the module as lines `kind type argument`, sorted; nested ones as `block.argument`. */
export function listArguments(resources: readonly Resource[]): string[] {
  const lines = resources.flatMap(({ kind, labels: [type = ''], ...block }) =>
    listNames(block, true).map((name) => `${kind} ${type} ${name}`),
  );
  return [...new Set(lines)].toSorted();
}

function listNames({ attributes, blocks }: Pick<Block, 'attributes' | 'blocks'>, top: boolean): string[] {
  const own = [...attributes.keys()].filter((name) => !(top && metaArguments.has(name)));
  const nested = blocks.flatMap((block) => {
    if (top && metaArguments.has(block.type)) return [];
    const isDynamic = block.type === 'dynamic';
    const name = isDynamic ? block.labels[0]! : block.type;
    const content = isDynamic ? block.blocks.find(({ type }) => type === 'content')! : block;
    return [name, ...listNames(content, false).map((inner) => `${name}.${inner}`)];
  });
  return [...own, ...nested];
}

/** A constant that an argument gets, such as `INGRESS_TRAFFIC_ALL`. */
export interface ConstantValue {
  kind: string;
  type: string;
  argument: string;
  value: string;
}

/** Returns the constants of the module, each in the branches of conditions too. */
export function listConstants(resources: readonly Resource[]): ConstantValue[] {
  return resources.flatMap(({ kind, labels: [type = ''], ...block }) =>
    listValues(block).map(([argument, value]) => ({ kind, type, argument, value })),
  );
}

function listValues({ attributes, blocks }: Pick<Block, 'attributes' | 'blocks'>): [string, string][] {
  const own = [...attributes].flatMap(([name, expression]) => {
    const [, alone, ...branches] = /^"([A-Z][A-Z_]+)"$|\? "([A-Z_]+)" : "([A-Z_]+)"$/.exec(expression) ?? [];
    const values = [alone, ...branches].filter((value) => value !== undefined);
    return values.map((value): [string, string] => [name, value]);
  });
  const nested = blocks.flatMap((block) => {
    const isDynamic = block.type === 'dynamic';
    const content = isDynamic ? block.blocks.find(({ type }) => type === 'content')! : block;
    const name = isDynamic ? block.labels[0]! : block.type;
    return listValues(content).map(([inner, value]): [string, string] => [`${name}.${inner}`, value]);
  });
  return [...own, ...nested];
}

/** Reads the table: the version of the documentation, and its lines without the pages. */
export function readTable(): { heading: string; lines: string[] } {
  const [heading = '', ...rest] = readFileSync(tableFile, 'utf8').trim().split('\n');
  const lines = rest.filter((line) => !line.startsWith('#') && line !== '');
  return { heading, lines: lines.map((line) => line.split(/\s+/).slice(0, 3).join(' ')) };
}
