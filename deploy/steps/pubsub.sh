# The doorbell: a topic, the subscription that workers pull, and a place for what nobody could take.
ensure pubsub topics describe "$PREFIX-turns" -- pubsub topics create "$PREFIX-turns" --message-retention-duration=1d
ensure pubsub topics describe "$PREFIX-turns-dead" -- pubsub topics create "$PREFIX-turns-dead"
# Neither ordering nor exactly-once: the database decides, and both would cost throughput. subscription <name> <topic> <path
# of the worker, where Pub/Sub calls it> <seconds for one delivery> <more …>
subscription() {
  local name="$PREFIX-$1" topic="$PREFIX-$2" endpoint='' seconds=$4
  local -a push=()
  if [[ $WORKER_MODE == push ]]; then
    endpoint="$WORKER_URL/$3"
    seconds=600 # a request lasts as long as its turn: the longest that Pub/Sub waits
    push=(--push-endpoint="$endpoint" --push-auth-service-account="$(account push)" --push-auth-token-audience="$WORKER_URL")
  fi
  shift 4
  if ! exists pubsub subscriptions describe "$name"; then
    change pubsub subscriptions create "$name" --topic="$topic" --ack-deadline="$seconds" --expiration-period=never "${push[@]}" "$@"
  elif [[ $(ask '' pubsub subscriptions describe "$name" --format='value(pushConfig.pushEndpoint)') != "$endpoint" ]]; then
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
# Pub/Sub itself moves a message: it publishes to the one and acknowledges on the other.
agent="serviceAccount:service-$PROJECT_NUMBER@gcp-sa-pubsub.iam.gserviceaccount.com"
grant roles/pubsub.publisher "$agent" pubsub topics "$PREFIX-turns-dead"
grant roles/pubsub.subscriber "$agent" pubsub subscriptions "$PREFIX-turns-worker"
if [[ $WORKER_MODE == push ]]; then
  # It calls the worker as this account, and makes the tokens for that.
  grant roles/iam.serviceAccountTokenCreator "$agent" iam service-accounts "$(account push)"
fi
