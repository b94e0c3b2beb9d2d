# The webhook queue. Longhaul schedules the retries of webhooks; those of the queue only cover a restart of
# the dispatcher. Enough calls at once for ten dispatchers of 200: one owner holds at most half of each.
concurrent=2000
queue=("$PREFIX-webhooks" --location="$REGION")
if ! exists tasks queues describe "${queue[@]}"; then
  change tasks queues create "${queue[@]}" --max-dispatches-per-second=500 \
    --max-concurrent-dispatches="$concurrent" --max-attempts=100 --min-backoff=0.1s --max-backoff=10s
elif [[ $(query '' tasks queues describe "${queue[@]}" --format='value(rateLimits.maxConcurrentDispatches)') != "$concurrent" ]]; then
  change tasks queues update "${queue[@]}" --max-concurrent-dispatches="$concurrent"
fi
for name in api worker dispatcher; do
  grant roles/cloudtasks.enqueuer "$(service_account $name)" tasks queues "$PREFIX-webhooks" --location="$REGION"
done
