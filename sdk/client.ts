/** `longhaul/client`: send tasks to any agent of A2A 1.0, and follow them over broken connections (docs/use/client.md). */
export type { AgentClient, SendOptions, SendResult, Webhook } from './client/agent.ts';
export { getApprovalRequests, type ApprovalDecision } from './client/approval.ts';
export { connect, type ConnectOptions } from './client/connect.ts';
export { UnauthorizedError, type FollowOptions, type TaskEvent } from './client/follow.ts';
export type { Task } from './task.ts';
export type { ApprovalRequest } from '#shared/agent/approval.ts';
export { textOf } from '#shared/domain/message.ts';
export type { ArtifactUpdate, StatusUpdate, TaskStatus } from '#shared/domain/events.ts';
export type { Artifact, Json, JsonObject, Message, Part } from '#shared/domain/message.ts';
export type { TaskState } from '#shared/domain/task.ts';
