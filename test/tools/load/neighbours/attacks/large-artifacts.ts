import { createRawGrpc } from '../../../../support/clients/raw-bindings.ts';
import { attempt, createSend, repeatInParallel, type Attack, getTaskId } from './attack.ts';

/** gRPC's code for an answer that is larger than its client accepts, 4 MiB by default. */
const resourceExhausted = 8;
const tooLarge = 'answers too large for a gRPC client';

export const largeArtifacts: Attack = {
  title: 'tasks with 20 text artifacts of 300 KB, streamed and read over gRPC in two loops',
  prepare: async (target) => {
    const { client, counts, grpcTarget, key } = target;
    const grpc = createRawGrpc(grpcTarget);
    return async (signal) => {
      await repeatInParallel(2, signal, async () => {
        const send = createSend('artifacts 20 300000');
        const streamed = await attempt(target, signal, () =>
          client.call('SendStreamingMessage', send, signal),
        );
        const id = getTaskId(streamed);
        if (id === undefined) return;
        const headers = { 'x-api-key': key };
        const { error } = await grpc.call('GetTask', { id }, headers);
        const isTooLarge = error?.code === resourceExhausted && error.message.includes('larger than max');
        counts.add(isTooLarge ? tooLarge : error === undefined ? 'read over gRPC' : 'failed over gRPC');
      });
      grpc.close();
    };
  },
  holds: {
    condition: 'gRPC clients can read the tasks',
    check: (counts) => (counts[tooLarge] ?? 0) === 0,
  },
};
