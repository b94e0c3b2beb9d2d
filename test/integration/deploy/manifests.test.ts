/** The rendered manifests, and the configuration that the services read from them. */
import assert from 'node:assert/strict';
import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { before, describe, test } from 'node:test';
import { readApiConfig } from '#shared/runtime/config/api.ts';
import { readDispatcherConfig } from '#shared/runtime/config/dispatcher.ts';
import type { Environment } from '#shared/runtime/config/env-reader.ts';
import { readAdminConfig, readMigrateConfig } from '#shared/runtime/config/operator.ts';
import { readWorkerConfig } from '#shared/runtime/config/worker.ts';
import { createSuiteCleanup } from '../../support/cleanup.ts';
import { renderManifests, type Manifest, type ManifestName } from '../../support/deploy/project.ts';

const cleanup = createSuiteCleanup();
let manifests: Manifest[];
before(async () => {
  manifests = await renderManifests(cleanup);
});

function getPodSpec({ name, content }: Manifest) {
  return name === 'migrate' ? content.spec.template.spec.template.spec : content.spec.template.spec;
}

describe('manifests', () => {
  test('pin images by digest and secrets by version', () => {
    for (const manifest of manifests) {
      assert.doesNotMatch(manifest.text, /\$\{/);
      const [container] = getPodSpec(manifest).containers;
      assert.match(container.image, /@sha256:[0-9a-f]{64}$/);
      for (const { name, valueFrom } of container.env) {
        if (valueFrom !== undefined) assert.match(valueFrom.secretKeyRef.key, /^\d+$/, name);
      }
    }
  });

  test('run each component with its own service account', () => {
    const accounts = new Set(manifests.map((manifest) => getPodSpec(manifest).serviceAccountName));
    assert.equal(accounts.size, 4);
  });

  test('probe the start and the life of each component that stays', () => {
    for (const manifest of manifests) {
      const [container] = getPodSpec(manifest).containers;
      const probes = [container.startupProbe, container.livenessProbe].map(
        (probe) => probe?.httpGet ?? probe?.grpc,
      );
      if (manifest.name === 'migrate') assert.deepEqual(probes, [undefined, undefined]);
      else if (manifest.name !== 'grpc')
        assert.deepEqual(probes, [
          { path: '/health/ready', port: 8080 },
          { path: '/health/live', port: 8080 },
        ]);
      else assert.ok(probes.every((probe) => probe !== undefined));
    }
  });

  test('expose only the API to the internet', () => {
    const expected: Partial<Record<ManifestName, string>> = {
      api: 'all',
      grpc: 'all',
      dispatcher: 'internal',
      'worker-push': 'internal',
    };
    for (const { name, content } of manifests) {
      const ingress = content.metadata.annotations?.['run.googleapis.com/ingress'];
      assert.equal(ingress, expected[name]);
    }
  });
});

describe('settings', () => {
  test('verify the database, encrypt contents and accept tokens of gcloud', async (t) => {
    const kmsKey = 'projects/p/locations/l/keyRings/r/cryptoKeys/k';
    const rendered = await renderManifests(t, {
      API_GCLOUD_TOKENS: 'true',
      DATABASE_SSL_CA_SECRET: 'database-ca',
      CONTENT_KMS_KEY: kmsKey,
      CONTENT_KEY_STORE: 'gs://keys',
    });
    const ca = '-----BEGIN CERTIFICATE-----';
    const { api, grpc, dispatcher, worker, pushWorker, migrate, admin } = readConfigs(rendered, {
      'database-ca': ca,
    });
    for (const { database, contents } of [api, grpc, dispatcher, worker, pushWorker, admin]) {
      assert.deepEqual(database.ssl, { mode: 'verify-ca', ca });
      assert.deepEqual(contents, { keys: undefined, kmsKey, keyStore: { bucket: 'keys' } });
    }
    assert.deepEqual(migrate.address.ssl, { mode: 'verify-ca', ca });
    for (const { auth } of [api, grpc]) {
      assert.equal(auth.cloudRunIam?.audience[1], '32555940559.apps.googleusercontent.com');
    }
  });
});

describe('configuration from the manifests', () => {
  test('exports telemetry and encrypts the database connection in every service', () => {
    const { api, grpc, dispatcher, worker, pushWorker } = readConfigs();
    for (const { database, cloudTasks, telemetry } of [api, grpc, dispatcher, worker, pushWorker]) {
      const { traces, metrics, google, sampler } = telemetry;
      assert.deepEqual([traces, metrics, google, sampler], [true, true, true, 'traceidratio']);
      assert.deepEqual(database.ssl, { mode: 'require' });
      assert.ok(database.plannedConnections > database.poolSize);
      assert.equal(cloudTasks.serviceAccount, 'longhaul-tasks@my-project.iam.gserviceaccount.com');
      assert.equal(cloudTasks.dispatcherUrl, 'https://longhaul-dispatcher-123456789012.us-central1.run.app');
    }
  });

  test('authenticates the callers of each service', () => {
    const { api, dispatcher, pushWorker } = readConfigs();
    assert.deepEqual(api.auth, {
      apiKeys: undefined,
      jwt: undefined,
      cloudRunIam: { audience: [api.publicUrl] },
      googleOAuth: undefined,
      operators: [],
    });
    assert.deepEqual(dispatcher.callers, {
      auth: { mode: 'iam', audience: dispatcher.cloudTasks.dispatcherUrl },
      tasksAccount: dispatcher.cloudTasks.serviceAccount,
      schedulerAccount: 'longhaul-scheduler@my-project.iam.gserviceaccount.com',
    });
    assert.deepEqual(pushWorker.push, {
      auth: { mode: 'iam', audience: 'https://longhaul-worker-123456789012.us-central1.run.app' },
      account: 'longhaul-push@my-project.iam.gserviceaccount.com',
      deadlineMs: 600_000,
    });
  });

  test('keeps places for short calls, and knows the addresses of clients', () => {
    const { api, grpc } = readConfigs();
    const concurrency = manifests
      .filter(({ name }) => name === 'api' || name === 'grpc')
      .map((manifest) => Number(getPodSpec(manifest).containerConcurrency));
    for (const { limits } of [api, grpc]) {
      assert.ok(limits.streams < Math.min(...concurrency));
      assert.equal(limits.trustedProxies, 1);
    }
  });

  test('serves gRPC from its own service, which the agent card lists', () => {
    const { api, grpc } = readConfigs();
    assert.deepEqual([grpc.http, grpc.grpcPort], [false, 8080]);
    const target = 'longhaul-grpc-123456789012.us-central1.run.app:443';
    assert.deepEqual([api.grpcPublicTarget, grpc.grpcPublicTarget], [target, target]);
  });

  test('limits owners, and has the public URL in every worker', () => {
    const { api, grpc, dispatcher, worker, pushWorker } = readConfigs();
    assert.ok(api.ownerLimits.openTasks > 0 && api.ownerLimits.webhookBytesPerHour > 0);
    for (const { ownerLimits } of [grpc, dispatcher, worker, pushWorker]) {
      assert.deepEqual(ownerLimits, api.ownerLimits);
    }
    assert.ok(api.limits.webhookRequestsPerMinute > 0);
    assert.deepEqual([worker.publicUrl, pushWorker.publicUrl], [api.publicUrl, api.publicUrl]);
  });

  test('passes the private signing keys only to the dispatcher', () => {
    const { api, dispatcher } = readConfigs();
    assert.ok(dispatcher.signing.keys[0]?.privateKey !== undefined);
    assert.equal(dispatcher.signing.issuer, api.publicUrl);
    assert.ok(api.webhookKeys[0] !== undefined && api.webhookKeys[0].privateKey === undefined);
  });

  test('names the release of the workers, by default by the digest of the image', async (t) => {
    for (const { workerName } of [readConfigs().worker, readConfigs().pushWorker])
      assert.match(workerName, /^0{12}\//);
    const { worker, pushWorker } = readConfigs(await renderManifests(t, { WORKER_RELEASE: '1.2.3' }));
    for (const { workerName } of [worker, pushWorker]) assert.match(workerName, /^1\.2\.3\//);
  });

  test('ends the split of the pool that a rollout may have left', () => {
    const pool = manifests.find(({ name }) => name === 'worker')!;
    assert.deepEqual(pool.content.spec.instanceSplits, [{ latestRevision: true, percent: 100 }]);
  });

  test('calls Gemini through Vertex AI', () => {
    const { worker } = readConfigs();
    assert.equal(worker.gemini.vertexai, true);
  });

  test('lets the job of the migration run commands for operators', () => {
    const { admin, migrate } = readConfigs();
    assert.equal(admin.database.url, migrate.address.url);
    const job = manifests.find(({ name }) => name === 'migrate')!;
    const { command } = getPodSpec(job).containers[0];
    assert.equal(command, undefined, 'arguments replace the command: gcloud run jobs execute --args');
  });

  test('creates the database and grants each service its rights', () => {
    const { migrate } = readConfigs();
    assert.ok(migrate.create);
    const { api, worker, dispatcher } = migrate.grantTo!;
    assert.deepEqual(
      [api, worker, dispatcher].map((user) => user.replace(/^.*_/, '')),
      ['api', 'worker', 'dispatcher'],
    );
  });
});

/** @param contents the contents of further secrets */
function readConfigs(rendered: readonly Manifest[] = manifests, contents: Record<string, string> = {}) {
  const { publicKey, privateKey } = generateKeyPairSync('ed25519');
  const toKeySet = (key: KeyObject): string =>
    JSON.stringify({ keys: [{ ...key.export({ format: 'jwk' }), kid: 'k' }] });
  const secrets: Record<string, string> = {
    'longhaul-encryption-keys': `k1:${Buffer.alloc(32).toString('base64')}`,
    'longhaul-webhook-signing-keys': toKeySet(privateKey),
    'longhaul-webhook-public-keys': toKeySet(publicKey),
    ...contents,
  };

  /** The environment of a service, with the content of its secrets. */
  function readEnvironment(name: ManifestName): Environment {
    const manifest = rendered.find((each) => each.name === name)!;
    const variables = getPodSpec(manifest).containers[0].env as { name: string; value?: string }[];
    return Object.fromEntries(
      variables.map(({ name: variable, value }) => {
        const [, secret] =
          /^sm:\/\/projects\/my-project\/secrets\/([\w-]+)\/versions\/latest$/.exec(value ?? '') ?? [];
        return [variable, secret === undefined ? (value ?? 'from-a-secret') : (secrets[secret] ?? '')];
      }),
    );
  }

  return {
    api: readApiConfig(readEnvironment('api')),
    grpc: readApiConfig(readEnvironment('grpc')),
    dispatcher: readDispatcherConfig(readEnvironment('dispatcher')),
    worker: readWorkerConfig(readEnvironment('worker')),
    pushWorker: readWorkerConfig(readEnvironment('worker-push')),
    migrate: readMigrateConfig(readEnvironment('migrate')),
    admin: readAdminConfig(readEnvironment('migrate')),
  };
}
