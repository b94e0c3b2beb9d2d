# Settings that decide who may call, what is encrypted, what is limited, and where the services and their database are. A run that lacks
# one of those that were deployed would replace it by the default, so it is refused.
# shellcheck shell=bash

# is_given <name>: whether a setting is in the environment, and not a default of settings.sh.
is_given() { [[ $(declare -p "$1") =~ ^declare\ -[A-Za-z]*x ]]; }

# check_kept [early]: compares the settings that are not in the environment with those of the services that are deployed, once. Early,
# before any step, the API of Cloud Run may be missing, and there is nothing to compare.
COMPARED=false
check_kept() {
  if [[ $COMPARED == true ]]; then return; fi
  local found pools lines name value modes='' grpc='' get=ask
  local -a lost=()
  if [[ ${1:-} == early ]]; then get=query; fi
  if ! found=$("$get" '[]' run services list --region="$REGION" --format=json \
    --filter="metadata.name=($PREFIX-api $PREFIX-grpc $PREFIX-dispatcher $PREFIX-worker)"); then
    if [[ $get == query ]]; then return; fi
    fail "the services of $REGION cannot be listed"
  fi
  COMPARED=true
  if [[ $found != *'"metadata"'* ]]; then return; fi
  pools='[]'
  if [[ $found != *"\"$PREFIX-worker\""* ]] && has_worker_pools; then
    pools=$(query '[]' "${WORKER_POOLS[@]}" list --region="$REGION" --format=json --filter="metadata.name=$PREFIX-worker") || pools='[]'
  fi
  lines=$(python3 -S "$HERE/lib/kept.py" "$PREFIX" <<<"$found$pools") || fail "the settings of $PREFIX-api cannot be read"
  if [[ -z $lines ]]; then return; fi
  read_invokers "$PREFIX-api"
  while IFS== read -r name value; do
    if [[ $name == API_AUTH_MODES ]]; then modes=$value; fi
    if [[ $name == GRPC_MAX ]]; then grpc=$value; fi
    # A setting that only another mode needs may go with it.
    if [[ $name =~ ^API_(JWT|OAUTH|KEYS)_ && $modes != "$API_AUTH_MODES" ]] && is_given API_AUTH_MODES; then continue; fi
    if is_given "$name" || [[ ${!name} == "$value" ]]; then continue; fi
    if [[ $name == DATABASE_HOST ]] && is_own_address "$value"; then continue; fi
    lost+=("$(printf '%s=%q' "$name" "$value")")
  done < <(sed -n 's/^setting //p' <<<"$lines"; printf 'API_INVOKERS=%s\n' "$(other_invokers)")
  find_lost_variables "${1:-}" "$lines"
  if ((${#lost[@]} > 0)); then
    fail "$PREFIX-api was deployed with settings that are not in the environment, and this run would replace them by defaults. Nothing was changed. To keep them:
  export ${lost[*]}
To change one, export its new value, which may be empty"
  fi
  # No step would update it, close it, or revoke its callers.
  if [[ -n $grpc ]] && ((GRPC_MAX == 0)); then
    fail "$PREFIX-grpc is deployed, and GRPC_MAX is 0. Nothing was changed. To keep it, set GRPC_MAX=$grpc. To delete it:
  gcloud run services delete $PREFIX-grpc --region=$REGION --project=$PROJECT_ID"
  fi
}

# find_lost_variables <"early" or nothing> <lines of kept.py>: adds to lost what the services have of SERVICE_ENV and those of single
# services, and this run does not. If one of these settings is given, the variables were taken out of it: then it only says so.
find_lost_variables() {
  local kind service name text setting reader names=''
  local -A deployed=() lines=()
  read_tables
  while read -r kind service name text; do
    if [[ $kind == variable ]]; then deployed["$service $name"]=$text deployed[$service]=''; fi
    if [[ $kind == secret && ! -v SET_BY["worker ${service%%=*}"] ]]; then names+=,$service; fi
  done <<<"$2"
  if [[ -n $names ]] && ! is_given WORKER_SECRETS; then lost+=("WORKER_SECRETS=${names#,}"); fi
  while read -r kind service name text; do
    if [[ $kind != variable || -v SET_BY["$service $name"] ]] || has_variable "$service" "$name"; then continue; fi
    if [[ -n ${READ_BY[$name]:-} ]]; then
      setting=SERVICE_ENV
      for reader in ${READ_BY[$name]}; do
        if [[ -v deployed[$reader] && ${deployed["$reader $name"]-none} != "$text" ]]; then setting=${service^^}_ENV; fi
      done
      if is_given SERVICE_ENV || is_given "${service^^}_ENV"; then setting=''; fi
    elif [[ $service == worker ]]; then
      setting=AGENT_ENV
      if is_given AGENT_ENV; then setting=''; fi
    else
      continue # a variable of another version
    fi
    if [[ -n $setting ]]; then
      if [[ $'\n'${lines[$setting]:-} != *$'\n'"$name="* ]]; then lines[$setting]+=$name=$text$'\n'; fi
    elif [[ $1 == early ]]; then
      say "$PREFIX-$service no longer gets $name"
    fi
  done <<<"$2"
  for setting in $(sorted "${!lines[@]}"); do lost+=("$(printf '%s=%q' "$setting" "${lines[$setting]%$'\n'}")"); done
}

# check_alerts: refuses to take the address away that the alerts notify.
check_alerts() {
  local channel email
  if [[ -n $ALERT_EMAIL ]] || is_given ALERT_EMAIL; then return; fi
  channel=$(query '' alpha monitoring policies list --filter="userLabels.app=\"$PREFIX\"" --flatten='notificationChannels[]' \
    --format='value(notificationChannels)' --limit=1) || channel=''
  if [[ -z $channel ]]; then return; fi
  email=$(query '' beta monitoring channels describe "$channel" --format='value(labels.email_address)') || email=''
  fail "the alerts of $PREFIX notify ${email:-$channel}, and this run, without ALERT_EMAIL, would leave them without notifications. Nothing was changed. To keep it:
  export ALERT_EMAIL=$email
To change it, export its new value, which may be empty"
}

# is_own_address <address>: whether it is that of the cluster of the settings. With another cluster or connection, it changes.
is_own_address() {
  local own
  if is_given ALLOYDB_CLUSTER || is_given DATABASE_CONNECTION; then return; fi
  own=$(query '' alloydb instances describe "$ALLOYDB_INSTANCE" --cluster="$ALLOYDB_CLUSTER" --region="$REGION" --format='value(ipAddress)') || own=''
  [[ $1 == "$own" ]]
}

# Prints the invokers that access.txt does not list, with commas: those of API_INVOKERS.
other_invokers() {
  local member listed
  local -a others=()
  listed=$(listed_invokers api)
  if [[ $PUBLIC == true ]]; then others=(allUsers); fi
  for member in "${INVOKERS[@]}"; do
    if [[ $member != allUsers && $'\n'$listed$'\n' != *$'\n'"$member"$'\n'* ]]; then others+=("$member"); fi
  done
  (IFS=,; printf '%s' "${others[*]}")
}
