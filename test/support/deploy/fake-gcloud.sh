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
if [[ ! -d $resources ]]; then mkdir -p "$resources"; fi
if [[ ! -f $policy ]]; then : >"$policy"; fi

# Sets file to that of a resource. Accounts are created by name and described by address.
find_file() { local name="$*"; name=${name%@*}; file=$resources/${name//\//_}; }
# print <file>: without another process, because there are hundreds of commands in a run of the scripts.
print() { local text=''; IFS= read -r -d '' text <"$1" || true; printf '%s' "$text"; }
changes() { printf '%s\n' "$line $role $member" >>"$FAKE_PROJECT/changes"; }
last=${positional[-1]} group=''
if ((${#positional[@]} > 2)); then group="${positional[*]:0:${#positional[@]}-2}"; fi
# The policy of a resource has the lines GROUP|NAME|ROLE|MEMBER.
own="$group|$last|"

# Monitoring resources have generated names. Their files are named after their content and hold the manifest hash.
monitored() { printf '%s/monitoring %s' "$resources" "$1"; }
listed() {
  local kind=$1 pattern='*' path name manifest
  if [[ $filter =~ longhaul-alert=\"?([a-z-]+) || $filter =~ email_address=(.*) ]]; then pattern=${BASH_REMATCH[1]}; fi
  for path in "$resources/monitoring $kind "$pattern; do
    if [[ ! -f $path ]]; then continue; fi
    name="$kind/${path##* }"
    if [[ $format == *separator* ]]; then
      read -r manifest <"$path"
      # The alerts have no etag, and say which file they are of.
      if [[ $kind == policies ]]; then printf '%s|%s|%s\n' "${path##* }" "$name" "$manifest"; else printf '%s|%s|etag-1\n' "$name" "$manifest"; fi
    else
      printf '%s\n' "$name"
    fi
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
  filter=${filter#metadata.name=}
  for name in ${filter//[()]/}; do
    manifest="$resources/manifest $name"
    if [[ ! -f $manifest || $'\n'$(<"$manifest")$'\n' != *$'\n'"kind: $1"$'\n'* ]]; then continue; fi
    if [[ ! "$manifest.json" -nt $manifest ]]; then
      node -p 'JSON.stringify(require(process.argv[1]).parse(require("fs").readFileSync(0, "utf8")), undefined, 2)' \
        "$(dirname "$(readlink -f "$0")")/../../../node_modules/yaml" <"$manifest" >"$manifest.json"
    fi
    printf '%s' "$separator"
    print "$manifest.json"
    separator=,
  done
  printf ']'
}

case $line in
  'projects describe '*) echo 123456789012 ;;
  # Asked for its help: whether the commands exist.
  'run worker-pools' | 'beta run worker-pools') [[ ${FAKE_WORKER_POOLS:-run} == "${line% worker-pools}" ]] ;;
  *' add-iam-policy-binding '*) changes; echo "$own$role|$member" >>"$policy" ;;
  *' remove-iam-policy-binding '*) changes; { grep -vxF "$own$role|$member" "$policy" || true; } >"$policy.new"; mv "$policy.new" "$policy" ;;
  *' get-iam-policy '*)
    if [[ -n ${FAKE_HIDDEN_POLICIES:-} ]]; then exit 1; fi
    condition=''
    if [[ $filter =~ bindings.role=([^ ]*)(\ AND\ bindings.members=(.*))?$ ]]; then condition="${BASH_REMATCH[1]}|${BASH_REMATCH[3]}"; fi
    while IFS= read -r binding; do
      if [[ $binding != "$own$condition"* ]]; then continue; fi
      binding=${binding#"$own"}
      case $format in
        csv*) echo "${binding/|/,}" ;;
        *bindings.role*) echo "${binding%%|*}" ;;
        *) echo "${binding#*|}" ;;
      esac
    done <"$policy"
    ;;
  'run services list')
    name=${filter#metadata.name=}
    if [[ $format != value* ]]; then list_manifests Service; elif [[ -f "$resources/manifest $name" ]]; then echo "$name"; fi
    ;;
  'run worker-pools list' | 'beta run worker-pools list') list_manifests WorkerPool ;;
  'run services update '*)
    changes
    if [[ $* == *--invoker-iam-check* ]]; then sed -i 's|\(invoker-iam-disabled\): .*|\1: "false"|' "$resources/manifest $last"; fi
    ;;
  'compute networks list' | 'pubsub topics list' | 'alloydb clusters list') [[ ! -s ${FAKE_NEW_API:-/dev/null} ]] || { rm "$FAKE_NEW_API"; exit 1; } ;;
  *' regions list' | *' locations list') printf 'us-central1\neurope-west4\n' ;;
  'services list') if [[ -f $resources/apis ]]; then print "$resources/apis"; fi ;;
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
  'secrets versions access latest') print "$resources/content $secret" ;;
  'secrets create '*) changes; find_file "secrets $last"; printf '%s' "$labels" >"$file" ;;
  'secrets list') { grep -lx "${filter#labels.}" "$resources/secrets "* || true; } | sed 's/.*secrets //' ;;
  'compute firewall-rules create '* | 'compute firewall-rules update '*) changes; find_file "compute firewall-rules $last"; printf '%s' "$ranges" >"$file" ;;
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
    find_file "$group $name"
    sed -n 's/^    longhaul-manifest: "\(.*\)"/\1/p' "$last" >"$file"
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
  'pubsub subscriptions create '*) changes; find_file "pubsub subscriptions $last"; printf '%s|%s|%s' "$endpoint" "$deadline" "$attempts" >"$file" ;;
  'pubsub subscriptions update '*) changes; find_file "pubsub subscriptions $last"; sed -i "s/|.*/|$deadline|$attempts/" "$file" ;;
  'pubsub subscriptions modify-push-config '*) changes; find_file "pubsub subscriptions $last"; sed -i "s#^[^|]*#$endpoint#" "$file" ;;
  'tasks queues create '* | 'tasks queues update '*) changes; find_file "tasks queues $last"; printf '%s.0|%s' "$rate" "$concurrent" >"$file" ;;
  'alloydb instances create '*) changes; find_file "alloydb instances $last"; printf '%s|%s|%s' "$cpus" "$available" "$flags" >"$file" ;;
  'scheduler jobs create http '*) changes; find_file "scheduler jobs $last"; : >>"$file" ;;
  *' create '*) changes; find_file "${line/ create/}"; : >>"$file" ;;
  'run revisions describe '*) printf '{"spec":{"containers":[{"name":"alloydb-auth-proxy","image":"proxy"},{"name":"service","image":"%s"}]}}' "$(cat "$resources/image ${last%-*}")" ;;
  *' describe '*)
    find_file "${line/ describe/}"
    [[ -f $file ]]
    case $format in
      *longhaul-manifest*) print "$file" ;;
      json)
        traffic="{\"revisionName\":\"$last-1\",\"percent\":100}"
        if [[ -f "$resources/split $last" ]]; then traffic="{\"revisionName\":\"$last-1\",\"percent\":90},{\"revisionName\":\"$last-2\",\"percent\":10}"; fi
        printf '{"metadata":{},"status":{"latestCreatedRevisionName":"%s-2","traffic":[%s]}}' "$last" "$traffic"
        ;;
      *ipAddress*) echo 10.21.0.2 ;;
      *uniqueId*) echo 100000000000000000001 ;;
      *prefixLength* | *pushEndpoint* | *maxConcurrentDispatches* | *cpuCount* | *destinationRanges*) print "$file" ;;
      *'value(address)'*) echo 10.20.0.7 ;;
      *serviceAttachmentLink*) echo projects/p/regions/r/serviceAttachments/alloydb ;;
    esac
    ;;
  'storage rm '*) changes; find_file "storage buckets $last"; rm -f "$file" ;;
  *' delete '*) changes; find_file "${line/ delete/}"; rm -f "$file" ;;
  *) echo "fake gcloud: unknown command: $line" >&2; exit 2 ;;
esac
