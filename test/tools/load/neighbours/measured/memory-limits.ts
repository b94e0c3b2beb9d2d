/** The memory that the deployed services have, as the manifests and images define it. */
import { readFileSync } from 'node:fs';
import { parse } from 'yaml';
import type { ServiceKind } from '../../../../support/stack.ts';

export interface MemoryLimit {
  /** Memory of the container, in MiB. The platform kills a process that exceeds it. */
  mib: number;
  /** Flags of Node with the same heap as in that container. */
  nodeFlags: string[];
}

interface Container {
  args?: string[];
  env?: { name: string; value?: string }[];
  resources: { limits: { memory: string } };
}

const root = new URL('../../../../../', import.meta.url);
const images: Record<ServiceKind, string> = {
  api: 'Dockerfile.api',
  worker: 'Dockerfile.worker',
  dispatcher: 'Dockerfile.worker',
};

export function readMemoryLimit(kind: ServiceKind): MemoryLimit {
  // A line that holds a variable alone receives further entries at the deploy.
  const text = read(`deploy/manifests/${kind}.yaml`).replaceAll(/^\$\{\w+\}\n/gm, '');
  const manifest = parse(text) as {
    spec: { template: { spec: { containers: [Container] } } };
  };
  const [{ args = [], env = [], resources }] = manifest.spec.template.spec.containers;
  const mib = parseMib(resources.limits.memory);
  const inImage = /^ENTRYPOINT (.*)$/m.exec(read(images[kind]))?.[1] ?? '[]';
  const options = env.find(({ name }) => name === 'NODE_OPTIONS')?.value ?? '';
  const flags = [...(JSON.parse(inImage) as string[]), ...options.split(/\s+/), ...args].filter((flag) =>
    flag.startsWith('--'),
  );
  const hasHeapLimit = flags.some((flag) => flag.startsWith('--max-old-space-size'));
  // Without a flag, V8 gives the old generation half of the memory of the container.
  return { mib, nodeFlags: hasHeapLimit ? flags : [...flags, `--max-old-space-size=${mib / 2}`] };
}

function parseMib(memory: string): number {
  const [, amount = '', unit] = /^(\d+)(Mi|Gi)$/.exec(memory) ?? [];
  if (unit === undefined) throw new Error(`the memory limit ${memory} has an unknown unit (expected Mi, Gi)`);
  return Number(amount) * (unit === 'Gi' ? 1024 : 1);
}

function read(file: string): string {
  return readFileSync(new URL(file, root), 'utf8');
}
