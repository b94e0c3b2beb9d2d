import { createSend, inAnHour, pause, type Attack } from './attack.ts';

const sends = 400;
/** The default of MAX_STREAMS_PER_CALLER. */
const limit = 100;

/** The tasks start in an hour, so the calls occupy the api and no worker. */
export const waitingSends: Attack = {
  title: '400 calls of SendMessage that wait',
  prepare: async ({ client, counts }) => {
    return async (signal) => {
      let open = 0;
      const send = async (): Promise<void> => {
        open += 1;
        try {
          const { status } = await client.call(
            'SendMessage',
            createSend('say hello', {
              configuration: { returnImmediately: false },
              metadata: inAnHour(),
            }),
            signal,
          );
          counts.add(status < 400 ? 'accepted' : 'refused');
        } catch {
          if (!signal.aborted) counts.add('failed');
        } finally {
          open -= 1;
        }
      };
      for (let n = 0; n < sends; n++) {
        void send();
        if (n % 10 === 9) await pause(25, signal);
      }
      // By then, those over the limit have been refused.
      await pause(5000, signal);
      while (!signal.aborted) {
        counts.max('calls held', open);
        await pause(1000, signal);
      }
    };
  },
  holds: {
    condition: `at most ${limit} waiting calls are held`,
    check: (counts) => (counts['calls held'] ?? 0) <= limit,
  },
};
