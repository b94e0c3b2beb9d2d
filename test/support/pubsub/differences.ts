/**
 * Differences between Google's emulator (gcloud component pubsub-emulator, 0.8.20) and the service. The contract asserts
 * each of them, so a difference that disappears is noticed. In all other respects the emulator passes the contract.
 */
export const GOOGLE_EMULATOR_DIFFERS = {
  ackDeadline: 'accepts ack deadlines below 10 seconds',
  attemptsCode: 'returns OUT_OF_RANGE if the number of delivery attempts is out of bounds',
  backoff: 'makes the second attempt immediately, and applies the backoff only to later ones',
  deadLetterTime: 'writes the publish time of a dead letter with Z as its time zone',
  filters: 'accepts any filter, even an invalid one, and delivers every message',
  flowControl: 'ignores the flow control limits of a stream',
  listMissing: 'returns an empty list of subscriptions for a missing topic',
  messageSize: 'accepts messages above 10 MB and attributes above their limits',
  names: 'does not name the missing or existing resource in an error',
  pings: 'does not respond to an empty request on a stream, so clients reopen it after 15 seconds',
  pullFromPush: 'allows pulls from a push subscription',
  pushAbandoned: 'keeps a push request open after its ack deadline, when it sends the next',
  pushAttempts: 'does not count the attempts in a push',
  pushRedirect: 'follows a redirect in the response to a push',
  pushToken: 'sends no token with a push',
  topicLabels: 'does not update the labels of a topic',
  unsupported: 'supports message ordering and exactly-once delivery',
} as const;

export type Difference = keyof typeof GOOGLE_EMULATOR_DIFFERS;
