/** `longhaul/webhooks`: verify webhooks, and receive them with Express or Fastify (docs/use/webhooks.md). */
export { createMemoryDedupe, type WebhookDedupe } from './webhooks/dedupe.ts';
export { WebhookError, type WebhookErrorCode } from './webhooks/error.ts';
export type { WebhookEvent } from './webhooks/event.ts';
export { expressWebhook, type ExpressHandler } from './webhooks/express.ts';
export { fastifyWebhook } from './webhooks/fastify.ts';
export type { JsonWebKeySet } from './webhooks/keys.ts';
export type { ReceiverOptions } from './webhooks/receive.ts';
export { verify, type VerifyOptions, type WebhookRequest } from './webhooks/verify.ts';
export type { Task } from './task.ts';
export type { ArtifactUpdate, StatusUpdate, TaskStatus } from '#shared/domain/events.ts';
export type { Artifact, Json, JsonObject, Message, Part } from '#shared/domain/message.ts';
export type { TaskState } from '#shared/domain/task.ts';
