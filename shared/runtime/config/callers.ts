/** Which service accounts may call the private services. gcp/caller-auth.ts explains the modes. */
import type { EnvReader } from './env-reader.ts';

const googleCertsUrl = 'https://www.googleapis.com/oauth2/v3/certs';

export type CallerAuthConfig =
  | { mode: 'none' }
  | { mode: 'iam'; audience: string }
  | { mode: 'verify'; audience: string; certsUrl: string };

export interface PushAuthConfig {
  auth: CallerAuthConfig;
  /** Service account of the push subscription. */
  account: string;
  /** Ack deadline of the push subscription. */
  deadlineMs: number;
}

/** Which service accounts may call the dispatcher, per route. */
export interface CallersConfig {
  auth: CallerAuthConfig;
  /** Service account of Cloud Tasks, for `POST /deliver`. */
  tasksAccount: string;
  /** Service account of Cloud Scheduler, for `POST /reconcile`. */
  schedulerAccount: string;
}

export function readPush(reader: EnvReader): PushAuthConfig | undefined {
  if (reader.oneOf('WORKER_MODE', ['pull', 'push'], 'pull') === 'pull') return undefined;
  const deadlineMs = 1000 * reader.number('PUSH_DEADLINE_SECONDS', 600, { min: 1, max: 600 });
  const mode = reader.oneOf('CALLER_AUTH', ['none', 'iam', 'verify'], 'iam');
  if (mode === 'none') {
    if (reader.optional('PUBSUB_EMULATOR_HOST') === undefined) {
      reader.problem('CALLER_AUTH=none lets anyone call and is accepted only with PUBSUB_EMULATOR_HOST');
    }
    return { auth: { mode }, account: '', deadlineMs };
  }
  const audience = reader.url('WORKER_URL');
  const certsUrl = reader.url('GOOGLE_CERTS_URL', googleCertsUrl);
  return {
    auth: mode === 'iam' ? { mode, audience } : { mode, audience, certsUrl },
    account: reader.string('PUBSUB_PUSH_SERVICE_ACCOUNT'),
    deadlineMs,
  };
}

export function readCallers(reader: EnvReader): CallersConfig {
  const local = reader.optional('CLOUD_TASKS_EMULATOR_HOST') !== undefined;
  const mode = reader.oneOf('CALLER_AUTH', ['none', 'iam', 'verify'], 'none');
  if (!local && reader.optional('CALLER_AUTH') === undefined) {
    reader.problem('CALLER_AUTH must be iam (Cloud Run verifies callers) or verify (this service does)');
  }
  if (!local && reader.optional('CALLER_AUTH') === 'none') {
    reader.problem('CALLER_AUTH=none lets anyone call and is accepted only with CLOUD_TASKS_EMULATOR_HOST');
  }
  if (mode === 'none') return { auth: { mode }, tasksAccount: '', schedulerAccount: '' };
  const audience = reader.url('DISPATCHER_URL');
  const certsUrl = reader.url('GOOGLE_CERTS_URL', googleCertsUrl);
  return {
    auth: mode === 'iam' ? { mode, audience } : { mode, audience, certsUrl },
    tasksAccount: reader.string('CLOUD_TASKS_SERVICE_ACCOUNT'),
    schedulerAccount: reader.string('SCHEDULER_SERVICE_ACCOUNT'),
  };
}
