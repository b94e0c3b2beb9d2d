/**
 * Checks which roles of the services these credentials have, on the resources of docs/operate/deploy.md#access-rights: Google is asked
 * for one permission of each role (testIamPermissions). Only what `longhaul dev` needs is a failure: the other roles belong
 * to services, each of which has some of them.
 */
// cspell:ignore cloudresourcemanager
import { readCloudTasksQueues } from '#shared/runtime/config/common.ts';
import { EnvReader, type Environment } from '#shared/runtime/config/env-reader.ts';
import { failed, ok, skipped, warning, type Finding } from './check.ts';

export interface RoleOptions {
  project: string;
  /** The account as a policy names it. */
  member: string;
  token: string;
  getOrigin: (service: string) => string;
}

interface Role {
  name: string;
  /** One that only roles like this have. */
  permission: string;
  /** The work that needs it, as a verb. */
  use: string;
  resource: Resource;
  /** Undefined: for services only. */
  isNeeded?: boolean;
}

interface Resource {
  /** The API, and the path that is asked. */
  service: string;
  path: string;
  /** For people. */
  name: string;
  /** The command of gcloud that binds a role to it. */
  bind: string;
}

const timeoutMs = 10_000;

export async function checkRoles(env: Environment, options: RoleOptions): Promise<Finding[]> {
  return Promise.all(listRoles(env, options.project).map((role) => checkRole(role, options)));
}

async function checkRole(role: Role, { member, token, getOrigin }: RoleOptions): Promise<Finding> {
  const { name, permission, use, resource } = role;
  const part = name.replace('roles/', '');
  const report = role.isNeeded ? failed : warning;
  let response: Response;
  try {
    response = await fetch(`${getOrigin(resource.service)}/${resource.path}:testIamPermissions`, {
      method: 'POST',
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
      body: JSON.stringify({ permissions: [permission] }),
      signal: AbortSignal.timeout(timeoutMs),
    });
  } catch (error) {
    return skipped(part, `${resource.service}.googleapis.com does not answer: ${(error as Error).message}`);
  }
  const answer = (await response.json().catch(() => ({}))) as Answer;
  if (response.ok) {
    if (answer.permissions?.includes(permission)) return ok(part, `${use}, on ${resource.name}`);
    const fix = `${resource.bind} --member=${member} --role=${name}`;
    return report(part, `may not ${use}: ${permission} is missing on ${resource.name}`, fix);
  }
  if (response.status === 404)
    return skipped(part, `${resource.name} does not exist: longhaul deploy creates it`);
  const { message = '', details = [] } = answer.error ?? {};
  if (details.some(({ reason }) => reason === 'SERVICE_DISABLED')) {
    const fix = `gcloud services enable ${resource.service}.googleapis.com`;
    return report(part, `the API ${resource.service}.googleapis.com is not enabled`, fix);
  }
  return skipped(
    part,
    `not checked: ${resource.service} answered with status ${response.status} ${message}`.trim(),
  );
}

interface Answer {
  permissions?: string[];
  error?: { message?: string; details?: { reason?: string }[] };
}

function listRoles(env: Environment, project: string): Role[] {
  const onProject: Resource = {
    service: 'cloudresourcemanager',
    path: `v1/projects/${project}`,
    name: `the project ${project}`,
    bind: `gcloud projects add-iam-policy-binding ${project}`,
  };
  const pubsub = (kind: 'topics' | 'subscriptions', name: string): Resource => ({
    service: 'pubsub',
    path: `v1/projects/${project}/${kind}/${name}`,
    name: `the ${kind.slice(0, -1)} ${name}`,
    bind: `gcloud pubsub ${kind} add-iam-policy-binding ${name} --project=${project}`,
  });
  const queues = env['CLOUD_TASKS_EMULATOR_HOST'] ? [] : readCloudTasksQueues(new EnvReader(env));
  const location = env['CLOUD_TASKS_LOCATION'] || 'us-central1';
  const usesPubSub = !env['PUBSUB_EMULATOR_HOST'];
  const roles: (Role | false)[] = [
    !env['GEMINI_API_KEY'] && {
      name: 'roles/aiplatform.user',
      permission: 'aiplatform.endpoints.predict',
      use: 'call models',
      resource: onProject,
      isNeeded: true,
    },
    usesPubSub && {
      name: 'roles/pubsub.publisher',
      permission: 'pubsub.topics.publish',
      use: 'publish wake-ups',
      resource: pubsub('topics', env['PUBSUB_TOPIC'] || 'longhaul-turns'),
    },
    usesPubSub && {
      name: 'roles/pubsub.subscriber',
      permission: 'pubsub.subscriptions.consume',
      use: 'pull wake-ups',
      resource: pubsub('subscriptions', env['PUBSUB_SUBSCRIPTION'] || 'longhaul-turns-worker'),
    },
    ...queues.map((queue) => ({
      name: 'roles/cloudtasks.enqueuer',
      permission: 'cloudtasks.tasks.create',
      use: 'schedule webhooks',
      resource: {
        service: 'cloudtasks',
        path: `v2/projects/${project}/locations/${location}/queues/${queue}`,
        name: `the queue ${queue}`,
        bind: `gcloud tasks queues add-iam-policy-binding ${queue} --location=${location} --project=${project}`,
      },
    })),
    {
      name: 'roles/alloydb.client',
      permission: 'alloydb.instances.connect',
      use: 'connect to AlloyDB',
      resource: onProject,
    },
    {
      name: 'roles/telemetry.metricsWriter',
      permission: 'telemetry.metrics.write',
      use: 'write metrics',
      resource: onProject,
    },
    {
      name: 'roles/telemetry.tracesWriter',
      permission: 'telemetry.traces.write',
      use: 'write traces',
      resource: onProject,
    },
    {
      name: 'roles/serviceusage.serviceUsageConsumer',
      permission: 'serviceusage.services.use',
      use: 'use APIs of the project',
      resource: onProject,
    },
  ];
  return roles.filter((role) => role !== false);
}
