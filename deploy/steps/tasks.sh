# The webhook queue. Longhaul schedules the retries of webhooks; those of the queue only cover a restart of
# the dispatcher. Enough calls at once for ten dispatchers of 200: one owner holds at most half of each.
ensure tasks queues describe "$PREFIX-webhooks" --location="$REGION" -- \
  tasks queues create "$PREFIX-webhooks" --location="$REGION" --max-dispatches-per-second=500 \
  --max-concurrent-dispatches=2000 --max-attempts=100 --min-backoff=0.1s --max-backoff=10s
for name in api worker dispatcher; do
  grant roles/cloudtasks.enqueuer "$(service_account $name)" tasks queues "$PREFIX-webhooks" --location="$REGION"
done
