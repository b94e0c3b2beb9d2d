#!/usr/bin/env bash
# A project in a directory ($FAKE_PROJECT): enough of gcloud for the deploy scripts, which make things in it, ask for them
# and remove them. What changes something is written to the file "changes".
set -euo pipefail

positional=()
role='' member='' filter='' format='' cluster='' content='' endpoint='' email=''
for word in "$@"; do
  case $word in
    --role=*) role=${word#*=} ;;
    --member=*) member=${word#*=} ;;
    --filter=*) filter=${word#*=} ;;
    --format=*) format=${word#*=} ;;
    --secret=*) cluster=${word#*=} ;;
    --config-from-file=* | --policy-from-file=*) content=${word#*=} ;;
    --push-endpoint=*) endpoint=${word#*=} ;;
    --channel-labels=*) email=${word##*=} ;;
    --*) ;;
    *) positional+=("$word") ;;
  esac
done
line="${positional[*]}"
there=$FAKE_PROJECT/there
policy=$FAKE_PROJECT/policy
mkdir -p "$there"
touch "$policy"

# A resource as a file name. Accounts are made by their name and asked for by their address.
file() { local name="$*"; name=${name%@*}; printf '%s/%s' "$there" "${name//\//_}"; }
changes() { printf '%s\n' "$line $role $member" >>"$FAKE_PROJECT/changes"; }
group() { printf '%s' "${positional[*]:0:${#positional[@]}-2}"; }
last=${positional[-1]}

# What has no name of its own making, kept under one that can be told from its content, with its manifest.
monitored() { printf '%s/monitoring %s' "$there" "$1"; }
listed() {
  local kind=$1 wanted='*' path name
  if [[ $filter =~ longhaul-alert=\"?([a-z-]+) || $filter =~ email_address=(.*) ]]; then wanted=${BASH_REMATCH[1]}; fi
  for path in "$there/monitoring $kind "$wanted; do
    if [[ ! -f $path ]]; then continue; fi
    name="$kind/${path##* }"
    if [[ $format == *separator* ]]; then printf '%s|%s|%s\n' "$name" "$(cat "$path")" etag-1; else printf '%s\n' "$name"; fi
  done
}
kept() {
  local name
  name=$(sed -n 's/^  longhaul-alert: //p' "$content")
  sed -n 's/^  longhaul-manifest: "\(.*\)"/\1/p' "$content" >"$(monitored "$1 ${name:-dashboard}")"
}

case $line in
  'projects describe '*) echo 123456789012 ;;
  *' add-iam-policy-binding '*) changes; echo "$(group)|$last|$role|$member" >>"$policy" ;;
  *' remove-iam-policy-binding '*) changes; { grep -vxF "$(group)|$last|$role|$member" "$policy" || true; } >"$policy.new"; mv "$policy.new" "$policy" ;;
  *' get-iam-policy '*)
    [[ $filter =~ bindings.role=(.*)\ AND\ bindings.members=(.*) ]]
    if grep -qxF "$(group)|$last|${BASH_REMATCH[1]}|${BASH_REMATCH[2]}" "$policy"; then echo "${BASH_REMATCH[1]}"; fi
    ;;
  'services list') cat "$there/apis" 2>/dev/null || true ;;
  'services enable '*) changes; printf '%s\n' "${positional[@]:2}" >>"$there/apis" ;;
  'services vpc-peerings connect') changes; touch "$there/peering" ;;
  'services vpc-peerings list') if [[ -f $there/peering ]]; then echo servicenetworking-googleapis-com; fi ;;
  'beta services identity create') changes ;;
  'secrets versions add '*) changes; cat >"$there/content $last" ;;
  'secrets versions list '*) if [[ -s "$there/content $last" ]]; then echo 1; fi ;;
  'secrets versions access latest') cat "$there/content $cluster" ;;
  'alloydb users list') ls "$there" | sed -n 's/^alloydb users //p' ;;
  'alloydb instances describe '*ipAddress*) ;;
  'artifacts docker images list '*) if [[ -f $there/built ]]; then echo "sha256:$(printf '%064d' 1)"; fi ;;
  'builds submit '*) changes; touch "$there/built" ;;
  'run jobs executions list') if [[ -f $there/executed ]]; then echo longhaul-migrate-1; fi ;;
  'run jobs execute '*) changes; touch "$there/executed" ;;
  *' replace '*)
    changes
    name=$(sed -n 's/^  name: //p' "$last" | head -1)
    sed -n 's/^    longhaul-manifest: "\(.*\)"/\1/p' "$last" >"$(file "$(group) $name")"
    ;;
  *'monitoring '*' list') listed "${positional[-2]}" ;;
  'beta monitoring channels create') changes; touch "$(monitored "channels $email")" ;;
  *'monitoring '*' create') changes; kept "${positional[-2]}" ;;
  *'monitoring '*' update '*) changes; kept "${positional[-3]}" ;;
  *'monitoring '*' delete '*) changes; rm -f "$(monitored "${last/\// }")" ;;
  'pubsub subscriptions create '*) changes; printf '%s' "$endpoint" >"$(file "pubsub subscriptions $last")" ;;
  'pubsub subscriptions update '*) changes ;;
  'pubsub subscriptions modify-push-config '*) changes; printf '%s' "$endpoint" >"$(file "pubsub subscriptions $last")" ;;
  'scheduler jobs create http '*) changes; touch "$(file "scheduler jobs $last")" ;;
  *' create '*) changes; touch "$(file "${line/ create/}")" ;;
  *' describe '*)
    [[ -f $(file "${line/ describe/}") ]]
    case $format in
      *longhaul-manifest*) cat "$(file "${line/ describe/}")" ;;
      *ipAddress*) echo 10.21.0.2 ;;
      *pushEndpoint*) cat "$(file "${line/ describe/}")" ;;
    esac
    ;;
  'storage rm '*) changes; rm -f "$(file "storage buckets $last")" ;;
  *' delete '*) changes; rm -f "$(file "${line/ delete/}")" ;;
  *) echo "fake gcloud: not understood: $line" >&2; exit 2 ;;
esac
