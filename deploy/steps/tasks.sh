# The webhook queue. Longhaul schedules the retries of webhooks; those of the queue only cover a restart of
# the dispatcher.
queue=("$PREFIX-webhooks" --location="$REGION")
if ! exists tasks queues describe "${queue[@]}"; then
  change tasks queues create "${queue[@]}" --max-dispatches-per-second="$QUEUE_CALLS_PER_SECOND" \
    --max-concurrent-dispatches="$QUEUE_CONCURRENT_CALLS" --max-attempts=100 --min-backoff=0.1s --max-backoff=10s
elif [[ $(query '' tasks queues describe "${queue[@]}" --format='value(rateLimits.maxConcurrentDispatches)') != "$QUEUE_CONCURRENT_CALLS" ]]; then
  change tasks queues update "${queue[@]}" --max-concurrent-dispatches="$QUEUE_CONCURRENT_CALLS"
fi
grant_listed queue
