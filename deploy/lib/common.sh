# Functions that the steps share: query, create what is missing, grant. Each is safe to run again.
# shellcheck shell=bash

# shellcheck source=deploy/lib/digests.sh
source "$HERE/lib/digests.sh"

say() { printf '# %s\n' "$*"; }
fail() { printf 'deploy: %s\n' "$*" >&2; exit 1; }

# Prints a command, quoted for a shell.
show() { printf '%s' "$1"; shift; local word; for word in "$@"; do printf ' %q' "$word"; done; printf '\n'; }

# The flags of all commands come first: those after --container belong to the container.
call() { gcloud --project="$PROJECT_ID" --quiet "$@"; }

# Runs a command that changes something, and prints it. A dry run only prints it. The command gets standard input.
change() {
  show gcloud "$@"
  if [[ $DRY_RUN == true ]]; then return; fi
  call "$@"
}

# query <placeholder> <command …>: runs a read-only command. A dry run prints the placeholder instead.
query() {
  local placeholder=$1
  shift
  if [[ $DRY_RUN == true ]]; then printf '%s' "$placeholder"; return; fi
  call "$@" 2>/dev/null
}

# exists <describe command …>: succeeds if the resource exists. Always fails in a dry run.
exists() {
  if [[ $DRY_RUN == true ]]; then return 1; fi
  call "$@" --format='value(name)' >/dev/null 2>&1
}

# ensure <describe command …> -- <create command …>: creates the resource if it does not exist.
ensure() {
  local -a describe=()
  while [[ $1 != -- ]]; do describe+=("$1"); shift; done
  shift
  if exists "${describe[@]}"; then return; fi
  change "$@"
}

# The bindings of resources, as ROLE,MEMBER lines, by the command that reads them: each policy is read once.
declare -A BINDINGS=()

# has_binding <role> <member> <command that reads the policy …>: 0: yes, 1: no, 2: the policy cannot be read.
has_binding() {
  local binding=$1,$2 found
  shift 2
  if [[ ! -v BINDINGS["$*"] ]]; then
    # The policies of buckets cannot be filtered by gcloud.
    found=$(query '' "$@" --flatten='bindings[].members' --format='csv[no-heading](bindings.role,bindings.members)') || return 2
    BINDINGS["$*"]=$found
  fi
  [[ $'\n'${BINDINGS["$*"]}$'\n' == *$'\n'"$binding"$'\n'* ]]
}

# grant <role> <member> <command group and resource …>: adds an IAM binding, unless it exists.
grant() {
  local role=$1 member=$2
  shift 2
  local -a group=() rest=()
  local word
  for word in "$@"; do
    if [[ $word == --* ]]; then rest+=("$word"); else group+=("$word"); fi
  done
  local resource=${group[-1]}
  unset 'group[-1]'
  local -a policy=("${group[@]}" get-iam-policy "$resource" "${rest[@]}")
  if [[ $DRY_RUN != true ]] && has_binding "$role" "$member" "${policy[@]}"; then return; fi
  local -a binding=("${group[@]}" add-iam-policy-binding "$resource" "${rest[@]}" --role="$role" --member="$member")
  # Only bindings of projects can have conditions; gcloud requires the flag for them.
  if [[ ${group[0]} == projects ]]; then binding+=(--condition=None); fi
  # Retried, because other services may know a new account only after a minute or more.
  local attempt
  for attempt in 1 2 3 4 5 6 7; do
    if change "${binding[@]}" --format=none; then GRANTED_AT=$SECONDS BINDINGS["${policy[*]}"]+=$'\n'$role,$member; return; fi
    sleep $((attempt * ${GRANT_RETRY_SECONDS:-5}))
  done
  fail "cannot grant $role on $resource to $member"
}

# await_grants: waits until the roles of this run are in force, which takes about two minutes. Without them, a build cannot read its
# sources, and a revision cannot read its secrets.
await_grants() {
  local left=0
  if [[ -n ${GRANTED_AT:-} && $DRY_RUN == false ]]; then left=$((GRANTED_AT + ${ROLE_SECONDS:-120} - SECONDS)); fi
  if ((left > 0)); then say "waiting $left s until the new roles are in force"; sleep "$left"; fi
}

# grant_listed <kind> [receiver]: adds the bindings of access.txt on resources of a kind, for this mode of the worker.
grant_listed() {
  local account role kind resource when
  while read -r account role kind resource when <&3 || [[ -n $account ]]; do
    if [[ $account == \#* || $kind != "$1" ]]; then continue; fi
    if [[ $when == "${2:-always}" || (-z ${2:-} && $when == "$WORKER_MODE") ]]; then
      bind "$role" "$(member "$account")" "$kind" "$resource"
    fi
  done 3<"$HERE/lib/access.txt"
}

# bind <role> <member> <kind> <resource>: adds the binding of one line.
bind() {
  case $3 in
    project) grant "$1" "$2" projects "$PROJECT_ID" ;;
    account | caller) grant "$1" "$2" iam service-accounts "$(account "$4")" ;;
    secret) grant "$1" "$2" secrets "$(secret_name "$4")" ;;
    topic) grant "$1" "$2" pubsub topics "$PREFIX-$4" ;;
    subscription) grant "$1" "$2" pubsub subscriptions "$PREFIX-$4" ;;
    queue) grant "$1" "$2" tasks queues "$PREFIX-$4" --location="$REGION" ;;
    repository) grant "$1" "$2" artifacts repositories "$PREFIX" --location="$REGION" ;;
    bucket) grant "$1" "$2" storage buckets "gs://$BUILD_BUCKET" ;;
    *) fail "access.txt has the unknown kind $3" ;;
  esac
}

member() {
  case $1 in
    pubsub-agent) printf 'serviceAccount:service-%s@gcp-sa-pubsub.iam.gserviceaccount.com' "$PROJECT_NUMBER" ;;
    *) printf 'serviceAccount:%s-%s@%s.iam.gserviceaccount.com' "$PREFIX" "$1" "$PROJECT_ID" ;;
  esac
}

secret_name() { if [[ $1 == /* ]]; then printf '%s%s' "$SECRET_PREFIX" "${1#/}"; else printf '%s-%s' "$PREFIX" "$1"; fi; }

service_account() { printf 'serviceAccount:%s' "$(account "$1")"; }

# secret <name> <command that prints the initial content>: creates a secret, and its first version.
secret() {
  local name=$1
  local -a replication=(--replication-policy=automatic)
  shift
  if [[ -n $SECRET_LOCATIONS ]]; then replication=(--replication-policy=user-managed --locations="$SECRET_LOCATIONS"); fi
  ensure secrets describe "$name" -- secrets create "$name" "${replication[@]}" --labels="app=$PREFIX"
  if [[ $DRY_RUN == true || -z $(query '' secrets versions list "$name" --filter=state=ENABLED --limit=1 --format='value(name)') ]]; then
    if [[ $DRY_RUN == true ]]; then
      change secrets versions add "$name" --data-file=- </dev/null
    else
      "$@" | change secrets versions add "$name" --data-file=-
    fi
  fi
}

# Prints the number of the newest enabled version. Manifests pin it, so that revisions do not change.
secret_version() {
  local name
  name=$(query 1 secrets versions list "$1" --filter=state=ENABLED --sort-by=~createTime --limit=1 --format='value(name.basename())')
  [[ -n $name ]] || fail "the secret $1 has no enabled version"
  printf '%s' "$name"
}

read_secret() { query placeholder secrets versions access latest --secret="$1"; }

random_key() { head -c 32 /dev/urandom | base64 | tr -d '\n'; }
random_password() { random_key | tr -d '/+='; }

# The commands for worker pools. Older versions of gcloud have them as beta.
declare -a WORKER_POOLS=(run worker-pools)
has_worker_pools() {
  if [[ $DRY_RUN == true ]] || gcloud run worker-pools --help >/dev/null 2>&1; then return; fi
  WORKER_POOLS=(beta run worker-pools)
  gcloud beta run worker-pools --help >/dev/null 2>&1
}
find_worker_pools() {
  has_worker_pools || fail 'this gcloud has no commands for worker pools: update it with "gcloud components update", or use WORKER_MODE=push'
}

# newest_image <name>: prints the newest image by digest, or nothing.
newest_image() {
  local digest
  digest=$(query 'sha256:0000000000000000000000000000000000000000000000000000000000000000' \
    artifacts docker images list "$REPOSITORY/$1" --sort-by=~UPDATE_TIME --limit=1 --format='value(version)') || digest=''
  [[ -z $digest ]] || printf '%s/%s@%s' "$REPOSITORY" "$1" "$digest"
}

# submit <account> <folder of the sources> <configuration file> [substitutions]: runs a build as an account, and waits for it. Its
# steps run images by digest: those of the file, or else those that their tags have now.
submit() {
  local config=$3 region=${BUILD_REGION:-$REGION}
  if [[ $DRY_RUN != true ]]; then
    config=$WORK/$(basename "$3")
    pin "$3" >"$config" || fail "$3 is not submitted, because an image of its steps has no digest"
    sed -n 's/^[ -]*name: \(.*@sha256:.*\)$/# runs \1/p' "$config" | sort -u
  fi
  await_grants
  # gcloud does not print the logs of these builds, which are in Cloud Logging.
  change builds submit "$2" --config="$config" --region="$region" --gcs-source-staging-dir="gs://$BUILD_BUCKET/source" \
    --service-account="projects/$PROJECT_ID/serviceAccounts/$(account "$1")" ${4:+--substitutions="$4"} ||
    fail "the build $(basename "$3") was refused or failed, as gcloud says above. If it does not run in $region because of restrictions, set BUILD_REGION. The log of the newest build:
  gcloud beta builds log \"\$(gcloud builds list --region=$region --project=$PROJECT_ID --limit=1 --format='value(id)')\" --region=$region --project=$PROJECT_ID"
}

scan_settings() {
  printf '_REFUSED_SEVERITIES=%s,_ACCEPTED_VULNERABILITIES=%s' "$REFUSED_SEVERITIES" "$ACCEPTED_VULNERABILITIES"
}

# render <template> <file>: writes the template with shell variables in place of ${NAME}, and sets MANIFEST to the label that identifies
# the content. Fails if a variable is not set.
render() {
  local text name label='longhaul-manifest: "unknown"'
  text=$(<"$1")
  MANIFEST=unknown
  while [[ $text =~ \$\{([A-Z_]+)\} ]]; do
    name=${BASH_REMATCH[1]}
    [[ -v $name ]] || fail "$1 uses $name, which is not set"
    text=${text//"\${$name}"/"${!name}"}
  done
  MANIFEST=$(sha256sum <<<"$text")
  MANIFEST=${MANIFEST:0:32}
  printf '%s\n' "${text/"$label"/"${label/unknown/"$MANIFEST"}"}" >"$2"
}

# apply <manifest name> <describe command …> -- <replace command …>: applies the manifest if it has changed.
apply() {
  local name=$1 file="$WORK/$1.yaml"
  shift
  local -a describe=()
  while [[ $1 != -- ]]; do describe+=("$1"); shift; done
  shift
  render "$HERE/manifests/$name.yaml" "$file"
  local deployed
  deployed=$(query '' "${describe[@]}" --format="value(metadata.labels.longhaul-manifest)") || deployed=''
  if [[ $deployed == "$MANIFEST" ]]; then return; fi
  change "$@" "$file"
}

# Sets the parts of the manifests that add the AlloyDB Auth Proxy as a second container, or sets them to nothing. The
# services start after it. The migration stops it at its end, so that the job ends.
auth_proxy() {
  AUTH_PROXY='' AUTH_PROXY_ANNOTATION='' AUTH_PROXY_OF_JOB='' AUTH_PROXY_QUIT_URL=''
  if [[ ! $DATABASE_CONNECTION =~ ^(proxy|public)$ ]]; then return; fi
  DATABASE_SSL_CA=''
  DATABASE_SSL=disable # from the service to the proxy, on the loopback interface; the proxy encrypts
  if [[ $DRY_RUN != true && $AUTH_PROXY_IMAGE != *@sha256:* ]]; then
    local digest
    digest=$(image_digest "$AUTH_PROXY_IMAGE") || fail "the registry gave no digest of $AUTH_PROXY_IMAGE"
    AUTH_PROXY_IMAGE+="@$digest"
  fi
  local args='--port=5432, --structured-logs, --health-check, --http-address=0.0.0.0'
  if [[ $DATABASE_CONNECTION == public ]]; then args+=', --public-ip'; fi
  local instance="projects/$PROJECT_ID/locations/$REGION/clusters/$ALLOYDB_CLUSTER/instances/$ALLOYDB_INSTANCE"
  local container="- { name: alloydb-auth-proxy, image: \"$AUTH_PROXY_IMAGE\", args: [ARGUMENTS, $instance]"
  # By default, health is served on localhost only, where probes may not reach it.
  container+=', startupProbe: { httpGet: { path: /startup, port: 9090 }, periodSeconds: 2, failureThreshold: 30 }'
  # 512 MiB is the minimum in a worker pool.
  container+=', resources: { limits: { cpu: "1", memory: 512Mi } } }'
  AUTH_PROXY="        ${container/ARGUMENTS/$args}"
  AUTH_PROXY_OF_JOB="            ${container/ARGUMENTS/$args, --quitquitquit}"
  AUTH_PROXY_QUIT_URL=http://127.0.0.1:9091/quitquitquit
  AUTH_PROXY_ANNOTATION="        run.googleapis.com/container-dependencies: '{\"service\":[\"alloydb-auth-proxy\"]}'"
}
