# The webhook queue. Longhaul schedules the retries of webhooks; those of the queue only cover a restart of
# the dispatcher.
queue=("$PREFIX-webhooks" --location="$REGION")
rates=(--max-dispatches-per-second="$QUEUE_CALLS_PER_SECOND" --max-concurrent-dispatches="$QUEUE_CONCURRENT_CALLS")
if ! exists tasks queues describe "${queue[@]}"; then
  change tasks queues create "${queue[@]}" "${rates[@]}" --max-attempts=100 --min-backoff=0.1s --max-backoff=10s
else
  # The first is a fraction: 500.0.
  found=$(query '' tasks queues describe "${queue[@]}" \
    --format='value[separator="|"](rateLimits.maxDispatchesPerSecond,rateLimits.maxConcurrentDispatches)') || found=''
  if [[ ${found/.0|/|} != "$QUEUE_CALLS_PER_SECOND|$QUEUE_CONCURRENT_CALLS" ]]; then change tasks queues update "${queue[@]}" "${rates[@]}"; fi
fi
grant_listed queue
