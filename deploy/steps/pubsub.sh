# Wake-ups of turns: a topic, the subscription of the workers, and a dead-letter topic with its subscription.
ensure pubsub topics describe "$PREFIX-turns" -- pubsub topics create "$PREFIX-turns" --message-retention-duration=1d
ensure pubsub topics describe "$PREFIX-turns-dead" -- pubsub topics create "$PREFIX-turns-dead"
# Ordering and exactly-once delivery are off: both would cost throughput, and correctness does not need them.
# subscription <name> <topic> <path for push> <ack deadline for pull, in seconds> <flags …>
subscription() {
  local name="$PREFIX-$1" topic="$PREFIX-$2" endpoint='' seconds=$4
  local -a push=()
  if [[ $WORKER_MODE == push ]]; then
    endpoint="$WORKER_URL/$3"
    seconds=600 # the maximum of Pub/Sub: a request lasts as long as its turn
    push=(--push-endpoint="$endpoint" --push-auth-service-account="$(account push)" --push-auth-token-audience="$WORKER_URL")
  fi
  shift 4
  if ! exists pubsub subscriptions describe "$name"; then
    change pubsub subscriptions create "$name" --topic="$topic" --ack-deadline="$seconds" --expiration-period=never "${push[@]}" "$@"
  elif [[ $(query '' pubsub subscriptions describe "$name" --format='value(pushConfig.pushEndpoint)') != "$endpoint" ]]; then
    change pubsub subscriptions update "$name" --ack-deadline="$seconds"
    change pubsub subscriptions modify-push-config "$name" "${push[@]:---push-endpoint=}"
  fi
}
subscription turns-worker turns turns 60 --min-retry-delay=1s --max-retry-delay=60s \
  --dead-letter-topic="$PREFIX-turns-dead" --max-delivery-attempts=100 --message-retention-duration=1d
subscription turns-dead-worker turns-dead dead-letters 60 --message-retention-duration=7d

for name in api worker dispatcher; do
  grant roles/pubsub.publisher "$(service_account $name)" pubsub topics "$PREFIX-turns"
done
if [[ $WORKER_MODE == pull ]]; then
  grant roles/pubsub.subscriber "$(service_account worker)" pubsub subscriptions "$PREFIX-turns-worker"
  grant roles/pubsub.subscriber "$(service_account worker)" pubsub subscriptions "$PREFIX-turns-dead-worker"
fi
# To dead-letter a message, the service agent of Pub/Sub publishes it to one topic and acknowledges the other.
agent="serviceAccount:service-$PROJECT_NUMBER@gcp-sa-pubsub.iam.gserviceaccount.com"
grant roles/pubsub.publisher "$agent" pubsub topics "$PREFIX-turns-dead"
grant roles/pubsub.subscriber "$agent" pubsub subscriptions "$PREFIX-turns-worker"
if [[ $WORKER_MODE == push ]]; then
  # Pub/Sub calls the worker as this account and creates its tokens.
  grant roles/iam.serviceAccountTokenCreator "$agent" iam service-accounts "$(account push)"
fi
