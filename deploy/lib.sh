# The verbs of the steps: look, make what is missing, grant. Each is safe to run again.
# shellcheck shell=bash

say() { printf '# %s\n' "$*"; }
fail() { printf 'deploy: %s\n' "$*" >&2; exit 1; }

# Prints a command as it could be typed.
show() { printf '%s' "$1"; shift; local word; for word in "$@"; do printf ' %q' "$word"; done; printf '\n'; }

# Changes something: printed always, run unless this is a dry run. Standard input reaches the command.
change() {
  show gcloud "$@"
  if [[ $DRY_RUN == true ]]; then return; fi
  gcloud "$@" --project="$PROJECT_ID" --quiet
}

# Asks something. In a dry run nothing is asked, and the answer is what stands in for it.
ask() {
  local stand_in=$1
  shift
  if [[ $DRY_RUN == true ]]; then printf '%s' "$stand_in"; return; fi
  gcloud "$@" --project="$PROJECT_ID" --quiet 2>/dev/null
}

# exists <describe command …>
exists() {
  if [[ $DRY_RUN == true ]]; then return 1; fi
  gcloud "$@" --project="$PROJECT_ID" --quiet --format='value(name)' >/dev/null 2>&1
}

# ensure <describe command …> -- <create command …>
ensure() {
  local -a look=()
  while [[ $1 != -- ]]; do look+=("$1"); shift; done
  shift
  if exists "${look[@]}"; then return; fi
  change "$@"
}

# grant <role> <member> <group and resource …>: the group's get-iam-policy and add-iam-policy-binding.
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
  held=$(ask '' "${group[@]}" get-iam-policy "$resource" "${rest[@]}" --flatten='bindings[].members' \
    --filter="bindings.role=$role AND bindings.members=$member" --format='value(bindings.role)') || held=''
  if [[ $held == *"$role"* ]]; then return; fi
  local -a binding=("${group[@]}" add-iam-policy-binding "$resource" "${rest[@]}" --role="$role" --member="$member")
  # Only a project's policy asks for a condition, or for none.
  if [[ ${group[0]} == projects ]]; then binding+=(--condition=None); fi
  # An account that was made a moment ago is not known everywhere yet.
  local attempt
  for attempt in 1 2 3 4 5; do
    if change "${binding[@]}" --format=none; then return; fi
    sleep "${GRANT_RETRY_SECONDS:-5}"
  done
  fail "$member could not be given $role on $resource"
}

service_account() { printf 'serviceAccount:%s' "$(account "$1")"; }

# secret <name> <command that prints its first content>
secret() {
  local name=$1
  shift
  ensure secrets describe "$name" -- secrets create "$name" --replication-policy=automatic --labels="app=$PREFIX"
  if [[ $DRY_RUN == true || -z $(ask '' secrets versions list "$name" --filter=state=ENABLED --limit=1 --format='value(name)') ]]; then
    if [[ $DRY_RUN == true ]]; then
      change secrets versions add "$name" --data-file=- </dev/null
    else
      "$@" | change secrets versions add "$name" --data-file=-
    fi
  fi
}

# The number of the newest version that is enabled: manifests name it, so that a revision keeps what it was tested with.
secret_version() {
  local name
  name=$(ask 1 secrets versions list "$1" --filter=state=ENABLED --sort-by=~createTime --limit=1 --format='value(name.basename())')
  [[ -n $name ]] || fail "the secret $1 has no enabled version"
  printf '%s' "$name"
}

read_secret() { ask stand-in secrets versions access latest --secret="$1"; }

random_key() { head -c 32 /dev/urandom | base64 | tr -d '\n'; }
random_password() { random_key | tr -d '/+='; }

# newest_image <name>: by digest; nothing where there is none.
newest_image() {
  local digest
  digest=$(ask 'sha256:0000000000000000000000000000000000000000000000000000000000000000' \
    artifacts docker images list "$REPOSITORY/$1" --sort-by=~UPDATE_TIME --limit=1 --format='value(version)') || digest=''
  [[ -z $digest ]] || printf '%s/%s@%s' "$REPOSITORY" "$1" "$digest"
}

# render <manifest>: fills ${NAME} from the variables of this shell, and stops at one that is not set.
render() {
  local text name
  text=$(<"$1")
  while [[ $text =~ \$\{([A-Z_]+)\} ]]; do
    name=${BASH_REMATCH[1]}
    [[ -v $name ]] || fail "$1 asks for $name, which is not set"
    text=${text//"\${$name}"/"${!name}"}
  done
  printf '%s\n' "$text"
}

# apply <manifest name> <describe …> -- <replace …>: the file is handed over when its content has changed.
apply() {
  local name=$1 file="$WORK/$1.yaml"
  shift
  local -a look=()
  while [[ $1 != -- ]]; do look+=("$1"); shift; done
  shift
  MANIFEST=unknown
  MANIFEST=$(render "$HERE/manifests/$name.yaml" | sha256sum | cut -c1-32)
  render "$HERE/manifests/$name.yaml" >"$file"
  local there
  there=$(ask '' "${look[@]}" --format="value(metadata.labels.longhaul-manifest)") || there=''
  if [[ $there == "$MANIFEST" ]]; then return; fi
  change "$@" "$file"
}
