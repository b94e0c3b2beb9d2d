/**
 * The gRPC definition of the Cloud Tasks API, built from the compiled messages of the client library. Loading
 * those takes a third of the time of parsing the protos. The IAM methods are omitted, so calls to them return
 * UNIMPLEMENTED.
 */
import { google } from '@google-cloud/tasks/build/protos';
import type { MethodDefinition } from '@grpc/grpc-js';

const v2 = google.cloud.tasks.v2;
const { Empty } = google.protobuf;

interface Codec<Value, Decoded> {
  encode(value: Value): { finish(): Uint8Array };
  decode(bytes: Uint8Array): Decoded;
}

function defineMethod<Request, DecodedRequest extends Request, Reply, DecodedReply extends Reply>(
  name: string,
  request: Codec<Request, DecodedRequest>,
  reply: Codec<Reply, DecodedReply>,
): MethodDefinition<DecodedRequest, Reply> {
  return {
    path: `/google.cloud.tasks.v2.CloudTasks/${name}`,
    requestStream: false,
    responseStream: false,
    requestSerialize: (value) => Buffer.from(request.encode(value).finish()),
    requestDeserialize: (bytes) => request.decode(bytes),
    responseSerialize: (value) => Buffer.from(reply.encode(value).finish()),
    responseDeserialize: (bytes) => reply.decode(bytes),
  };
}

export const cloudTasksService = {
  CreateQueue: defineMethod('CreateQueue', v2.CreateQueueRequest, v2.Queue),
  GetQueue: defineMethod('GetQueue', v2.GetQueueRequest, v2.Queue),
  ListQueues: defineMethod('ListQueues', v2.ListQueuesRequest, v2.ListQueuesResponse),
  UpdateQueue: defineMethod('UpdateQueue', v2.UpdateQueueRequest, v2.Queue),
  DeleteQueue: defineMethod('DeleteQueue', v2.DeleteQueueRequest, Empty),
  PurgeQueue: defineMethod('PurgeQueue', v2.PurgeQueueRequest, v2.Queue),
  PauseQueue: defineMethod('PauseQueue', v2.PauseQueueRequest, v2.Queue),
  ResumeQueue: defineMethod('ResumeQueue', v2.ResumeQueueRequest, v2.Queue),
  CreateTask: defineMethod('CreateTask', v2.CreateTaskRequest, v2.Task),
  GetTask: defineMethod('GetTask', v2.GetTaskRequest, v2.Task),
  ListTasks: defineMethod('ListTasks', v2.ListTasksRequest, v2.ListTasksResponse),
  DeleteTask: defineMethod('DeleteTask', v2.DeleteTaskRequest, Empty),
  RunTask: defineMethod('RunTask', v2.RunTaskRequest, v2.Task),
};

export const toCreateQueueRequest = (parent: string, queue: WireQueue) =>
  v2.CreateQueueRequest.create({ parent, queue });

export type WireQueue = google.cloud.tasks.v2.IQueue;
export type WireTask = google.cloud.tasks.v2.ITask;
export const QueueState = v2.Queue.State;
export const WireTaskView = v2.Task.View;
export const HttpMethod = v2.HttpMethod;
