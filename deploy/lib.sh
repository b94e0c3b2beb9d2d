# Functions that the steps share: query, create what is missing, grant. Each is safe to run again.
# shellcheck shell=bash

# shellcheck source=deploy/digests.sh
source "$HERE/digests.sh"

say() { printf '# %s\n' "$*"; }
fail() { printf 'deploy: %s\n' "$*" >&2; exit 1; }

# Prints a command, quoted for a shell.
show() { printf '%s' "$1"; shift; local word; for word in "$@"; do printf ' %q' "$word"; done; printf '\n'; }

# Runs a command that changes something, and prints it. A dry run only prints it. The command gets standard input.
change() {
  show gcloud "$@"
  if [[ $DRY_RUN == true ]]; then return; fi
  gcloud "$@" --project="$PROJECT_ID" --quiet
}

# query <placeholder> <command …>: runs a read-only command. A dry run prints the placeholder instead.
query() {
  local placeholder=$1
  shift
  if [[ $DRY_RUN == true ]]; then printf '%s' "$placeholder"; return; fi
  gcloud "$@" --project="$PROJECT_ID" --quiet 2>/dev/null
}

# exists <describe command …>: succeeds if the resource exists. Always fails in a dry run.
exists() {
  if [[ $DRY_RUN == true ]]; then return 1; fi
  gcloud "$@" --project="$PROJECT_ID" --quiet --format='value(name)' >/dev/null 2>&1
}

# ensure <describe command …> -- <create command …>: creates the resource if it does not exist.
ensure() {
  local -a describe=()
  while [[ $1 != -- ]]; do describe+=("$1"); shift; done
  shift
  if exists "${describe[@]}"; then return; fi
  change "$@"
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
  local held
  held=$(query '' "${group[@]}" get-iam-policy "$resource" "${rest[@]}" --flatten='bindings[].members' \
    --filter="bindings.role=$role AND bindings.members=$member" --format='value(bindings.role)') || held=''
  if [[ $held == *"$role"* ]]; then return; fi
  local -a binding=("${group[@]}" add-iam-policy-binding "$resource" "${rest[@]}" --role="$role" --member="$member")
  # Only bindings of projects can have conditions; gcloud requires the flag for them.
  if [[ ${group[0]} == projects ]]; then binding+=(--condition=None); fi
  # Retried, because a new account takes a moment to propagate.
  local attempt
  for attempt in 1 2 3 4 5; do
    if change "${binding[@]}" --format=none; then return; fi
    sleep "${GRANT_RETRY_SECONDS:-5}"
  done
  fail "cannot grant $role on $resource to $member"
}

service_account() { printf 'serviceAccount:%s' "$(account "$1")"; }

# secret <name> <command that prints the initial content>: creates a secret, and its first version.
secret() {
  local name=$1
  shift
  ensure secrets describe "$name" -- secrets create "$name" --replication-policy=automatic --labels="app=$PREFIX"
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
  local config=$3
  if [[ $DRY_RUN != true ]]; then
    config=$WORK/$(basename "$3")
    pin "$3" >"$config" || fail "$3 is not submitted, because an image of its steps has no digest"
    sed -n 's/^[ -]*name: \(.*@sha256:.*\)$/# runs \1/p' "$config" | sort -u
  fi
  change builds submit "$2" --config="$config" --region="$REGION" --gcs-source-staging-dir="gs://$BUILD_BUCKET/source" \
    --service-account="projects/$PROJECT_ID/serviceAccounts/$(account "$1")" ${4:+--substitutions="$4"}
}

scan_settings() {
  printf '_REFUSED_SEVERITIES=%s,_ACCEPTED_VULNERABILITIES=%s' "$REFUSED_SEVERITIES" "$ACCEPTED_VULNERABILITIES"
}

# render <file>: replaces ${NAME} with shell variables; fails if one is not set.
render() {
  local text name
  text=$(<"$1")
  while [[ $text =~ \$\{([A-Z_]+)\} ]]; do
    name=${BASH_REMATCH[1]}
    [[ -v $name ]] || fail "$1 uses $name, which is not set"
    text=${text//"\${$name}"/"${!name}"}
  done
  printf '%s\n' "$text"
}

# apply <manifest name> <describe command …> -- <replace command …>: applies the manifest if it has changed.
apply() {
  local name=$1 file="$WORK/$1.yaml"
  shift
  local -a describe=()
  while [[ $1 != -- ]]; do describe+=("$1"); shift; done
  shift
  MANIFEST=unknown
  MANIFEST=$(render "$HERE/manifests/$name.yaml" | sha256sum | cut -c1-32)
  render "$HERE/manifests/$name.yaml" >"$file"
  local deployed
  deployed=$(query '' "${describe[@]}" --format="value(metadata.labels.longhaul-manifest)") || deployed=''
  if [[ $deployed == "$MANIFEST" ]]; then return; fi
  change "$@" "$file"
}
