# Wake-ups of turns: a topic, the subscription of the workers, and a dead-letter topic with its subscription.
ensure pubsub topics describe "$PREFIX-turns" -- pubsub topics create "$PREFIX-turns" --message-retention-duration=1d
ensure pubsub topics describe "$PREFIX-turns-dead" -- pubsub topics create "$PREFIX-turns-dead"
# Ordering and exactly-once delivery are off: both would cost throughput, and correctness does not need them.
# subscription <name> <topic> <path for push> <delivery attempts before dead letters, or nothing> <flags …>
subscription() {
  local name="$PREFIX-$1" topic="$PREFIX-$2" endpoint='' seconds=$PULL_ACK_SECONDS attempts=$4 found
  local -a push=() limits=()
  if [[ $WORKER_MODE == push ]]; then
    endpoint="$WORKER_URL/$3"
    seconds=$PUSH_ACK_SECONDS
    push=(--push-endpoint="$endpoint" --push-auth-service-account="$(account push)" --push-auth-token-audience="$WORKER_URL")
  fi
  limits=(--ack-deadline="$seconds")
  if [[ -n $attempts ]]; then limits+=(--dead-letter-topic="$PREFIX-turns-dead" --max-delivery-attempts="$attempts"); fi
  shift 4
  if ! exists pubsub subscriptions describe "$name"; then
    change pubsub subscriptions create "$name" --topic="$topic" "${limits[@]}" --expiration-period=never "${push[@]}" "$@"
    return
  fi
  found=$(query '' pubsub subscriptions describe "$name" \
    --format='value[separator="|"](pushConfig.pushEndpoint,ackDeadlineSeconds,deadLetterPolicy.maxDeliveryAttempts)') || found=''
  if [[ ${found#*|} != "$seconds|$attempts" ]]; then change pubsub subscriptions update "$name" "${limits[@]}"; fi
  if [[ ${found%%|*} != "$endpoint" ]]; then change pubsub subscriptions modify-push-config "$name" "${push[@]:---push-endpoint=}"; fi
}
subscription turns-worker turns turns "$MAX_DELIVERY_ATTEMPTS" --min-retry-delay=1s --max-retry-delay=60s --message-retention-duration=1d
subscription turns-dead-worker turns-dead dead-letters '' --message-retention-duration=7d

grant_listed topic
grant_listed subscription
grant_listed caller
