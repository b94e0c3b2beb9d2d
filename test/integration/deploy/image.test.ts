/** The Dockerfiles of the images: user, port and build context. test/scenarios/long/deploy/image.test.ts runs the images. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { isSentToBuilder, readDockerfile } from '../../support/deploy/image.ts';

const api = readDockerfile('Dockerfile.api');
const worker = readDockerfile('Dockerfile.worker');

describe('images', () => {
  test('run node as process 1, unprivileged, on port 8080', () => {
    for (const spec of [api, worker]) {
      assert.deepEqual(spec.entrypoint, ['node', '--max-semi-space-size=16', '--single-threaded-gc']);
      assert.deepEqual(spec.env, {
        NODE_ENV: 'production',
        PORT: '8080',
        NODE_COMPILE_CACHE: '.compile-cache',
      });
      assert.ok(spec.user > 0);
      assert.ok(!spec.packageManagers);
      for (const { from } of spec.copies) {
        assert.ok(from === 'node_modules' || isSentToBuilder(from), `.dockerignore excludes ${from}`);
      }
    }
  });

  test('keep secrets and local data out of the build context', () => {
    assert.ok(!isSentToBuilder('node_modules'));
    assert.ok(!isSentToBuilder('.longhaul/encryption.key'));
  });
});
