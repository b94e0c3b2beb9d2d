/** remove.sh against a fake project: it deletes what deploy.sh and the guide create, and nothing else. */
import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, test } from 'node:test';
import { parse } from 'yaml';
import { createFakeProject, otherMode, projectDir } from '../../support/deploy/project.ts';
import { dryRun, type Command } from '../../support/deploy/scripts.ts';
import { createTempDir } from '../../support/temp-dir.ts';

/** Deleted with what they belong to, or by Google alone. */
const parts = /^(alloydb instances|alloydb users|services identity) /;
const bucket = 'gs://my-project-longhaul-build';

/** Returns what commands create or delete, as kind and name. Monitoring has generated names. */
function listResources(commands: readonly Command[], verb: 'create' | 'delete'): string[] {
  const found = commands.flatMap(({ words }) => {
    const all = words.slice(1).filter((word) => !/^(alpha|beta|http)$/.test(word));
    const at = all.indexOf(verb);
    const kind = all.slice(0, at).join(' ');
    if (at === -1) return [];
    if (kind.startsWith('monitoring ')) return [kind];
    const name = all.slice(at + 1).find((word) => !word.startsWith('--')) ?? '';
    return [`${kind} ${name.replace(/@.*/, '')}`];
  });
  return [...new Set(found)].filter((each) => !parts.test(each)).toSorted();
}

/** The commands of the guide for a deployment with the default prefix. */
function readGuideCommands(): Command[] {
  const guide = readFileSync(path.join(projectDir, 'docs/operate/deploy.md'), 'utf8');
  const blocks = [...guide.matchAll(/```sh\n([^]*?)```/g)].map(([, block = '']) => block);
  const lines = blocks.flatMap((block) => block.replaceAll('\\\n', ' ').split('\n'));
  return lines
    .filter((line) => /^gcloud (?!projects).* create /.test(line))
    .map((line) => ({ line, words: line.replace(' create github --name=', ' create ').split(/\s+/) }));
}

describe('remove.sh', () => {
  test('deletes each kind of resource that deploy.sh and its guide create', async (t) => {
    const dir = createTempDir(t);
    const settings = { RENDERED_DIR: dir, ALERT_EMAIL: 'you@example.com' };
    const commands = [
      ...(await dryRun('deploy.sh', settings)),
      ...(await dryRun('deploy.sh', { ...settings, ...otherMode })),
      ...(await dryRun('deploy.sh', settings, ['receiver'])),
      ...(await dryRun('deploy.sh', { ...settings, DATABASE_CONNECTION: 'psc' })),
      ...(await dryRun('deploy.sh', { NETWORK: 'corp', SUBNET: 'run' }, ['network'])),
    ];
    const replaced = commands.flatMap(({ words }) => {
      const at = words.indexOf('replace');
      if (at === -1) return [];
      const manifest = parse(readFileSync(words.at(-1)!, 'utf8')) as { metadata: { name: string } };
      return [`${words.slice(1, at).join(' ')} ${manifest.metadata.name}`];
    });
    const created = [
      ...listResources([...commands, ...readGuideCommands()], 'create'),
      ...replaced,
      // The peering of the network.
      ...commands.flatMap(({ line }) =>
        line.includes('vpc-peerings connect')
          ? ['compute networks peerings servicenetworking-googleapis-com']
          : [],
      ),
    ];
    const removed = [
      ...(await dryRun('remove.sh')),
      ...(await dryRun('remove.sh', { DATABASE_CONNECTION: 'psc' })),
    ];
    const deleted = listResources(removed, 'delete');
    if (removed.some(({ line }) => line.includes(`storage rm --recursive ${bucket}`)))
      deleted.push(`storage buckets ${bucket}`);
    // By their label, and not by name.
    assert.ok(deleted.includes('secrets NAME'));
    const left = created.filter((each) => !deleted.includes(each) && !each.startsWith('secrets '));
    assert.deepEqual(left, [], 'created, and not removed');
    const unknown = deleted.filter((each) => !created.includes(each) && each !== 'secrets NAME');
    assert.deepEqual(unknown, [], 'removed, and not created');
    assert.ok(created.length > 50, `${created.length} resources`);
  });

  test('is not done while it cannot read the roles of its accounts', async (t) => {
    const fake = createFakeProject(t);
    await fake.run('deploy.sh', ['accounts']);
    await assert.rejects(
      fake.run('remove.sh', ['--yes'], { FAKE_HIDDEN_POLICIES: 'true' }),
      /resources could not be deleted yet: run remove\.sh again later/,
    );
    await fake.run('remove.sh', ['--yes']);
  });

  test('refuses the cluster of another deployment', async (t) => {
    const fake = createFakeProject(t);
    const resources = path.join(fake.dir, 'resources');
    mkdirSync(resources);
    writeFileSync(path.join(resources, 'manifest longhaul-staging-api'), 'kind: Service');
    for (const ALLOYDB_CLUSTER of ['longhaul-staging', 'longhaul-staging-restored'])
      await assert.rejects(
        fake.run('remove.sh', ['--yes'], { ALLOYDB_CLUSTER }),
        /belongs to another deployment, PREFIX=longhaul-staging\. .* Nothing was deleted/,
      );
    assert.deepEqual(fake.takeChanges(), []);
  });
});
