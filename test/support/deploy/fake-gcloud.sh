#!/usr/bin/env bash
# A fake gcloud whose project is a directory ($FAKE_PROJECT). It implements what the deploy scripts need to
# create, describe and delete resources. Each command that changes something is logged to the file "changes".
set -euo pipefail

printf '%s\037' "$@" >>"$FAKE_PROJECT/calls"
printf '\036' >>"$FAKE_PROJECT/calls"
positional=()
role='' member='' filter='' format='' secret='' content='' endpoint='' email='' rate='' concurrent='' deadline='' attempts='' cpus='' available='' flags='' labels='' ranges='' peered=''
for word in "$@"; do
  case $word in
    --role=*) role=${word#*=} ;;
    --member=*) member=${word#*=} ;;
    --filter=*) filter=${word#*=} ;;
    --format=*) format=${word#*=} ;;
    --secret=*) secret=${word#*=} ;;
    --config-from-file=* | --policy-from-file=*) content=${word#*=} ;;
    --push-endpoint=*) endpoint=${word#*=} ;;
    --max-dispatches-per-second=*) rate=${word#*=} ;;
    --max-concurrent-dispatches=*) concurrent=${word#*=} ;;
    --ack-deadline=*) deadline=${word#*=} ;;
    --max-delivery-attempts=*) attempts=${word#*=} ;;
    --cpu-count=*) cpus=${word#*=} ;;
    --availability-type=*) available=${word#*=} ;;
    --database-flags=*) flags=${word#*=} ;;
    --labels=*) labels=${word#*=} ;;
    --destination-ranges=*) ranges=${word#*=} ;;
    --ranges=*) peered=${word#*=} ;;
    --channel-labels=*) email=${word##*=} ;;
    --*) ;;
    *) positional+=("$word") ;;
  esac
done
line="${positional[*]}"
resources=$FAKE_PROJECT/resources
policy=$FAKE_PROJECT/policy
mkdir -p "$resources"
touch "$policy"

# Prints the file of a resource. Accounts are created by name and described by address.
file() { local name="$*"; name=${name%@*}; printf '%s/%s' "$resources" "${name//\//_}"; }
changes() { printf '%s\n' "$line $role $member" >>"$FAKE_PROJECT/changes"; }
group() { printf '%s' "${positional[*]:0:${#positional[@]}-2}"; }
last=${positional[-1]}

# Monitoring resources have generated names. Their files are named after their content and hold the manifest hash.
monitored() { printf '%s/monitoring %s' "$resources" "$1"; }
listed() {
  local kind=$1 pattern='*' path name
  if [[ $filter =~ longhaul-alert=\"?([a-z-]+) || $filter =~ email_address=(.*) ]]; then pattern=${BASH_REMATCH[1]}; fi
  for path in "$resources/monitoring $kind "$pattern; do
    if [[ ! -f $path ]]; then continue; fi
    name="$kind/${path##* }"
    if [[ $format == *separator* ]]; then printf '%s|%s|%s\n' "$name" "$(cat "$path")" etag-1; else printf '%s\n' "$name"; fi
  done
}
store() {
  local name
  name=$(sed -n 's/^  longhaul-alert: //p' "$content")
  sed -n 's/^  longhaul-manifest: "\(.*\)"/\1/p' "$content" >"$(monitored "$1 ${name:-dashboard}")"
  if [[ -n $name ]]; then sed -n 's/^notificationChannels: \[\(.*\)\]/\1/p' "$content" >"$resources/notified"; fi
}

# list_manifests <kind>: those of the names in the filter, as JSON.
list_manifests() {
  local name manifest separator=''
  printf '['
  for name in $(tr -d '()' <<<"${filter#metadata.name=}"); do
    manifest="$resources/manifest $name"
    if ! grep -qx "kind: $1" "$manifest" 2>/dev/null; then continue; fi
    if [[ ! "$manifest.json" -nt $manifest ]]; then
      node -p 'JSON.stringify(require(process.argv[1]).parse(require("fs").readFileSync(0, "utf8")), undefined, 2)' \
        "$(dirname "$(readlink -f "$0")")/../../../node_modules/yaml" <"$manifest" >"$manifest.json"
    fi
    printf '%s' "$separator"
    cat "$manifest.json"
    separator=,
  done
  printf ']'
}

case $line in
  'projects describe '*) echo 123456789012 ;;
  # Asked for its help: whether the commands exist.
  'run worker-pools' | 'beta run worker-pools') [[ ${FAKE_WORKER_POOLS:-run} == "${line% worker-pools}" ]] ;;
  *' add-iam-policy-binding '*) changes; echo "$(group)|$last|$role|$member" >>"$policy" ;;
  *' remove-iam-policy-binding '*) changes; { grep -vxF "$(group)|$last|$role|$member" "$policy" || true; } >"$policy.new"; mv "$policy.new" "$policy" ;;
  *' get-iam-policy '*)
    if [[ -z $filter ]]; then
      awk -F'|' -v group="$(group)" -v name="$last" '$1 == group && $2 == name { print $3 "," $4 }' "$policy"
    elif [[ $filter =~ bindings.role=(.*)\ AND\ bindings.members=(.*) ]]; then
      if grep -qxF "$(group)|$last|${BASH_REMATCH[1]}|${BASH_REMATCH[2]}" "$policy"; then echo "${BASH_REMATCH[1]}"; fi
    else
      grep -F "$(group)|$last|${filter#*=}|" "$policy" | cut -d'|' -f4 || true
    fi
    ;;
  'run services list') list_manifests Service ;;
  'run worker-pools list' | 'beta run worker-pools list') list_manifests WorkerPool ;;
  'run services update '*)
    changes
    if [[ $* == *--invoker-iam-check* ]]; then sed -i 's|\(invoker-iam-disabled\): .*|\1: "false"|' "$resources/manifest $last"; fi
    ;;
  'compute networks list' | 'pubsub topics list' | 'alloydb clusters list') [[ ! -s ${FAKE_NEW_API:-/dev/null} ]] || { rm "$FAKE_NEW_API"; exit 1; } ;;
  *' regions list' | *' locations list') printf 'us-central1\neurope-west4\n' ;;
  'services list') cat "$resources/apis" 2>/dev/null || true ;;
  'services enable '*) changes; printf '%s\n' "${positional[@]:2}" >>"$resources/apis" ;;
  'services vpc-peerings connect' | 'services vpc-peerings update') changes; printf '%s' "$peered" >"$resources/peering" ;;
  'services vpc-peerings delete' | 'compute networks peerings delete '*) changes; rm "$resources/peering" ;;
  'services vpc-peerings list')
    if [[ -f $resources/peering ]]; then
      if [[ $format == *separator* ]]; then printf 'servicenetworking-googleapis-com|'; fi
      cat "$resources/peering"
    fi
    ;;
  'beta services identity create') changes ;;
  'secrets versions add '*) changes; cat >"$resources/content $last" ;;
  'secrets versions list '*) if [[ -s "$resources/content $last" ]]; then echo 1; fi ;;
  'secrets versions access latest') cat "$resources/content $secret" ;;
  'secrets create '*) changes; printf '%s' "$labels" >"$(file "secrets $last")" ;;
  'secrets list') { grep -lx "${filter#labels.}" "$resources/secrets "* || true; } | sed 's/.*secrets //' ;;
  'compute firewall-rules create '* | 'compute firewall-rules update '*) changes; printf '%s' "$ranges" >"$(file "compute firewall-rules $last")" ;;
  'alloydb users list') ls "$resources" | sed -n 's/^alloydb users //p' ;;
  'alloydb instances describe '*ipAddress*) ;;
  'artifacts docker images list '*) if [[ -f $resources/built ]]; then echo "sha256:$(printf '%064d' "$(cat "$resources/built")")"; fi ;;
  'builds submit '*) changes; [[ -z ${FAKE_BUILD_FAILS:-} ]] || exit 1; printf '%s' "${FAKE_BUILT:-1}" >"$resources/built" ;;
  'run jobs list')
    if [[ -n ${FAKE_JOBS:-} ]]; then exit 1; fi
    cat "$resources/contracted ${filter#metadata.name=}" 2>/dev/null || true
    ;;
  'run jobs execute '*) changes; [[ -z ${FAKE_MIGRATION:-} ]] ;;
  *' replace '*)
    changes
    name=$(sed -n 's/^  name: //p' "$last" | head -1)
    sed -n 's/^    longhaul-manifest: "\(.*\)"/\1/p' "$last" >"$(file "$(group) $name")"
    sed -n 's/^ *image: "\(.*\)"/\1/p' "$last" | head -1 >"$resources/image $name"
    cp "$last" "$resources/manifest $name"
    # Labels that the manifest does not have are gone.
    sed -n 's/^    longhaul-contracted: "\(.*\)"/\1/p' "$last" >"$resources/contracted $name"
    ;;
  'alpha monitoring policies list') if [[ $format == *notificationChannels* ]]; then cat "$resources/notified" 2>/dev/null || true; else listed policies; fi ;;
  'beta monitoring channels describe '*) printf '%s\n' "${last#channels/}" ;;
  *'monitoring '*' list') listed "${positional[-2]}" ;;
  'beta monitoring channels create') changes; touch "$(monitored "channels $email")" ;;
  *'monitoring '*' create') changes; store "${positional[-2]}" ;;
  *'monitoring '*' update '*) changes; store "${positional[-3]}" ;;
  *'monitoring '*' delete '*) changes; rm -f "$(monitored "${last/\// }")" ;;
  'pubsub subscriptions create '*) changes; printf '%s|%s|%s' "$endpoint" "$deadline" "$attempts" >"$(file "pubsub subscriptions $last")" ;;
  'pubsub subscriptions update '*) changes; sed -i "s/|.*/|$deadline|$attempts/" "$(file "pubsub subscriptions $last")" ;;
  'pubsub subscriptions modify-push-config '*) changes; sed -i "s#^[^|]*#$endpoint#" "$(file "pubsub subscriptions $last")" ;;
  'tasks queues create '* | 'tasks queues update '*) changes; printf '%s.0|%s' "$rate" "$concurrent" >"$(file "tasks queues $last")" ;;
  'alloydb instances create '*) changes; printf '%s|%s|%s' "$cpus" "$available" "$flags" >"$(file "alloydb instances $last")" ;;
  'scheduler jobs create http '*) changes; touch "$(file "scheduler jobs $last")" ;;
  *' create '*) changes; touch "$(file "${line/ create/}")" ;;
  'run revisions describe '*) printf '{"spec":{"containers":[{"name":"alloydb-auth-proxy","image":"proxy"},{"name":"service","image":"%s"}]}}' "$(cat "$resources/image ${last%-*}")" ;;
  *' describe '*)
    [[ -f $(file "${line/ describe/}") ]]
    case $format in
      *longhaul-manifest*) cat "$(file "${line/ describe/}")" ;;
      json)
        traffic="{\"revisionName\":\"$last-1\",\"percent\":100}"
        if [[ -f "$resources/split $last" ]]; then traffic="{\"revisionName\":\"$last-1\",\"percent\":90},{\"revisionName\":\"$last-2\",\"percent\":10}"; fi
        printf '{"metadata":{},"status":{"latestCreatedRevisionName":"%s-2","traffic":[%s]}}' "$last" "$traffic"
        ;;
      *ipAddress*) echo 10.21.0.2 ;;
      *uniqueId*) echo 100000000000000000001 ;;
      *prefixLength*) cat "$(file "${line/ describe/}")" ;;
      *'value(address)'*) echo 10.20.0.7 ;;
      *serviceAttachmentLink*) echo projects/p/regions/r/serviceAttachments/alloydb ;;
      *pushEndpoint* | *maxConcurrentDispatches* | *cpuCount* | *destinationRanges*) cat "$(file "${line/ describe/}")" ;;
    esac
    ;;
  'storage rm '*) changes; rm -f "$(file "storage buckets $last")" ;;
  *' delete '*) changes; rm -f "$(file "${line/ delete/}")" ;;
  *) echo "fake gcloud: unknown command: $line" >&2; exit 2 ;;
esac
