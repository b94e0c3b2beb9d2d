/**
 * Where Google's emulator (gcloud component pubsub-emulator, 0.8.20) does not do as the service does. The contract
 * asserts what it does instead, so that a difference that is gone is noticed; what is not named here is the same.
 */
export const GOOGLE_EMULATOR_DIFFERS = {
  ackDeadline: 'takes ack deadlines below 10 seconds',
  attemptsCode: 'answers OUT_OF_RANGE where the number of delivery attempts is out of bounds',
  backoff: 'makes the second attempt at once, and spaces only those after it',
  deadLetterTime: 'writes the publish time of a dead letter with Z for its zone',
  filters: 'keeps any filter, a wrong one too, and delivers every message',
  flowControl: 'gives a stream everything at once, whatever limits it asked for',
  listMissing: 'lists no subscriptions for a missing topic, without an error',
  messageSize: 'takes messages above 10 MB and attributes above their limits',
  names: 'does not name the missing or existing resource in an error',
  pings: 'does not answer an empty request on a stream: clients open the stream again after 15 seconds',
  pullFromPush: 'answers a pull from a push subscription',
  pushAbandoned: 'leaves a push open after its ack deadline, when it makes the next',
  pushAttempts: 'does not count the attempts in a push',
  pushRedirect: 'follows a redirect as an answer to a push',
  pushToken: 'sends no token with a push',
  topicLabels: 'does not update the labels of a topic',
  unsupported: 'supports message ordering and exactly-once delivery',
} as const;

export type Difference = keyof typeof GOOGLE_EMULATOR_DIFFERS;
