# The doorbell: a topic, the subscription that workers pull, and a place for what nobody could take.
ensure pubsub topics describe "$PREFIX-turns" -- pubsub topics create "$PREFIX-turns" --message-retention-duration=1d
ensure pubsub topics describe "$PREFIX-turns-dead" -- pubsub topics create "$PREFIX-turns-dead"
# Neither ordering nor exactly-once: the database decides, and both would cost throughput.
ensure pubsub subscriptions describe "$PREFIX-turns-worker" -- \
  pubsub subscriptions create "$PREFIX-turns-worker" --topic="$PREFIX-turns" --ack-deadline=60 \
  --min-retry-delay=1s --max-retry-delay=60s --dead-letter-topic="$PREFIX-turns-dead" --max-delivery-attempts=100 \
  --message-retention-duration=1d --expiration-period=never
ensure pubsub subscriptions describe "$PREFIX-turns-dead-worker" -- \
  pubsub subscriptions create "$PREFIX-turns-dead-worker" --topic="$PREFIX-turns-dead" --ack-deadline=60 \
  --message-retention-duration=7d --expiration-period=never

for name in api worker dispatcher; do
  grant roles/pubsub.publisher "$(service_account $name)" pubsub topics "$PREFIX-turns"
done
grant roles/pubsub.subscriber "$(service_account worker)" pubsub subscriptions "$PREFIX-turns-worker"
grant roles/pubsub.subscriber "$(service_account worker)" pubsub subscriptions "$PREFIX-turns-dead-worker"
# Pub/Sub itself moves a message: it publishes to the one and acknowledges on the other.
agent="serviceAccount:service-$PROJECT_NUMBER@gcp-sa-pubsub.iam.gserviceaccount.com"
grant roles/pubsub.publisher "$agent" pubsub topics "$PREFIX-turns-dead"
grant roles/pubsub.subscriber "$agent" pubsub subscriptions "$PREFIX-turns-worker"
