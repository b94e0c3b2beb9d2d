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
    seconds=$PUSH_ACK_SECONDS
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
subscription turns-worker turns turns "$PULL_ACK_SECONDS" --min-retry-delay=1s --max-retry-delay=60s \
  --dead-letter-topic="$PREFIX-turns-dead" --max-delivery-attempts="$MAX_DELIVERY_ATTEMPTS" --message-retention-duration=1d
subscription turns-dead-worker turns-dead dead-letters "$PULL_ACK_SECONDS" --message-retention-duration=7d

grant_listed topic
grant_listed subscription
grant_listed caller
