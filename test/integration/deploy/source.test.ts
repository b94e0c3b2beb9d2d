/**
 * The image that Google's buildpacks make (IMAGES_FROM=source), by their rules: the entrypoint is run with bash, which gets the
 * arguments of the manifest (pkg/gcpbuildpack/gcpbuildpack.go of GoogleCloudPlatform/buildpacks at 21f28de, AddProcess).
 */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, test } from 'node:test';
import { parse } from 'yaml';
import { readDockerfile } from '../../support/deploy/image.ts';
import { manifestNames, projectDir } from '../../support/deploy/project.ts';
import { dryRun, run } from '../../support/deploy/scripts.ts';
import { createTempDir } from '../../support/temp-dir.ts';

const build = parse(readFileSync(path.join(projectDir, 'deploy/builds/source-image.yaml'), 'utf8')) as {
  steps: { name: string; args: string[] }[];
};
const variables = new Map(
  build.steps
    .find(({ name }) => name.endsWith('/pack'))!
    .args.flatMap((arg) => {
      const [, name, value] = /^--env=(\w+)=(.*)$/.exec(arg) ?? [];
      // Cloud Build replaces $$ by $.
      return name === undefined ? [] : [[name, value!.replaceAll('$$', '$')] as const];
    }),
);

/** Starts the image with the arguments, as the launcher does. */
async function launch(args: readonly string[], node = path.dirname(process.execPath)) {
  const env = { PATH: `${node}:${process.env['PATH']}` };
  return run('bash', ['-c', variables.get('GOOGLE_ENTRYPOINT')!, ...args], { cwd: projectDir, env });
}

describe('the image from source', () => {
  test('has Node 24, which engines permits, and compiles nothing', () => {
    assert.equal(variables.get('GOOGLE_NODEJS_VERSION'), '24.x.x');
    assert.equal(variables.get('GOOGLE_NODE_RUN_SCRIPTS'), '');
    const { engines, scripts } = JSON.parse(readFileSync(path.join(projectDir, 'package.json'), 'utf8')) as {
      engines: { node: string };
      scripts: Record<string, string>;
    };
    assert.match(engines.node, /^>=22\./);
    assert.ok(scripts['start'] !== undefined && scripts['build'] !== undefined, 'what would run otherwise');
  });

  test('runs the service that the arguments of its manifest name', async (t) => {
    const dir = createTempDir(t);
    const source = { RENDERED_DIR: dir, IMAGES_FROM: 'source', GRPC_MAX: '1' };
    await dryRun('deploy.sh', source, ['services', 'migrate']);
    await dryRun('deploy.sh', { ...source, WORKER_MODE: 'push' }, ['services']);
    const node = createTempDir(t);
    writeFileSync(path.join(node, 'node'), '#!/bin/bash\nprintf "%s\\n" "$@"\n', { mode: 0o755 });
    for (const name of manifestNames) {
      const { spec } = parse(readFileSync(path.join(dir, `${name}.yaml`), 'utf8'));
      const [container] = (name === 'migrate' ? spec.template.spec : spec).template.spec.containers;
      assert.match(container.image, /\/longhaul\/source@sha256:/);
      const [, ...flags] = readDockerfile('Dockerfile.api').entrypoint;
      const args = [...flags, ...container.args];
      assert.equal((await launch(container.args, node)).output, `${args.join('\n')}\n`);
      const service = name === 'grpc' ? 'api' : name === 'worker-push' ? 'worker' : name;
      assert.equal(container.args[0], `services/${service}/main.ts`);
    }
    // For real: without configuration, a service exits with 78.
    const { code, output } = await launch(['services/migrate/main.ts']);
    assert.equal(code, 78, output);
  });

  test('does not start the local stack without arguments', async () => {
    const { code, output, errors } = await launch([]);
    assert.notEqual(code, 0);
    assert.doesNotMatch(output + errors, /Longhaul is running|agent card/i);
  });
});
