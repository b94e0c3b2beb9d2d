/** A fake Secret Manager over gRPC that supports reading versions, for `@google-cloud/secret-manager`. */
import type { TestContext } from 'node:test';
import { protos } from '@google-cloud/secret-manager';
import { Server, ServerCredentials, status, type ServerUnaryCall, type sendUnaryData } from '@grpc/grpc-js';

const { v1 } = protos.google.cloud.secretmanager;
type Request = protos.google.cloud.secretmanager.v1.AccessSecretVersionRequest;
type Reply = protos.google.cloud.secretmanager.v1.IAccessSecretVersionResponse;

export interface SecretManager {
  /** `host:port`. */
  readonly host: string;
  /** Names of the versions read so far, in order. */
  readonly reads: string[];
  /** Sets the content of a version from now on; undefined denies the right to read it. */
  set(name: string, content: string | undefined): void;
}

export async function startSecretManager(t: TestContext): Promise<SecretManager> {
  const contents = new Map<string, string>();
  const reads: string[] = [];
  const server = new Server();
  server.addService(
    {
      access: {
        path: '/google.cloud.secretmanager.v1.SecretManagerService/AccessSecretVersion',
        requestStream: false,
        responseStream: false,
        requestSerialize: (value: Request) =>
          Buffer.from(v1.AccessSecretVersionRequest.encode(value).finish()),
        requestDeserialize: (bytes: Buffer) => v1.AccessSecretVersionRequest.decode(bytes),
        responseSerialize: (value: Reply) =>
          Buffer.from(v1.AccessSecretVersionResponse.encode(value).finish()),
        responseDeserialize: (bytes: Buffer) => v1.AccessSecretVersionResponse.decode(bytes),
      },
    },
    {
      access: (call: ServerUnaryCall<Request, Reply>, respond: sendUnaryData<Reply>) => {
        const { name } = call.request;
        reads.push(name);
        const content = contents.get(name);
        if (content === undefined) {
          respond({ code: status.PERMISSION_DENIED, details: `Permission denied on ${name}` });
        } else {
          respond(null, { name, payload: { data: Buffer.from(content) } });
        }
      },
    },
  );
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    );
  });
  t.after(() => server.forceShutdown());
  return {
    host: `127.0.0.1:${port}`,
    reads,
    set: (name, content) => {
      if (content === undefined) contents.delete(name);
      else contents.set(name, content);
    },
  };
}
