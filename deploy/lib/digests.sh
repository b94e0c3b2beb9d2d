# Functions that replace the tags of images by digests: for the builds that run (common.sh), and for the files (pin-images.sh).
# shellcheck shell=bash

# image_digest <image>: asks the registry for the digest behind the tag, by the API of the OCI distribution specification.
image_digest() {
  local registry=${1%%/*} name=${1#*/} tag=latest type headers token
  if [[ $1 != */* || ! $registry =~ [.:] ]]; then registry=registry-1.docker.io name=$1; fi
  if [[ $name != */* && $registry == registry-1.docker.io ]]; then name=library/$name; fi
  if [[ $name == *:* ]]; then tag=${name##*:} name=${name%:*}; fi
  # The digest is that of the index of platforms, if there is one.
  local -a request=(curl --silent --show-error --head --max-time 30 "https://$registry/v2/$name/manifests/$tag")
  for type in oci.image.index.v1 docker.distribution.manifest.list.v2 oci.image.manifest.v1 docker.distribution.manifest.v2; do
    request+=(--header "Accept: application/vnd.$type+json")
  done
  headers=$("${request[@]}") || return 1
  # Registries want a token even of anonymous readers.
  headers=${headers,,}
  if [[ $headers =~ bearer\ realm=\"([^\"]+)\",\ *service=\"([^\"]+)\" ]]; then
    token=$(curl --silent --show-error --fail --max-time 30 --get "${BASH_REMATCH[1]}" \
      --data-urlencode "service=${BASH_REMATCH[2]}" --data-urlencode "scope=repository:$name:pull") || return 1
    [[ $token =~ \"(token|access_token)\":\ *\"([^\"]+)\" ]] || return 1
    headers=$("${request[@]}" --header "Authorization: Bearer ${BASH_REMATCH[2]}") || return 1
    headers=${headers,,}
  fi
  [[ $headers =~ docker-content-digest:\ *(sha256:[0-9a-f]{64}) ]] || return 1
  printf '%s' "${BASH_REMATCH[1]}"
}

# pin <file> [all]: prints a Dockerfile or the configuration of a build with a digest for each image that has none; with "all", also
# a new digest for those that have one. Fails if a registry gives none.
pin() {
  local line before image after pinned digest
  while IFS= read -r line || [[ -n $line ]]; do
    if [[ $line =~ ^(FROM|[\ -]+name:)\ ([a-z0-9./_-]+[./:][A-Za-z0-9./_:-]+)(@sha256:[0-9a-f]{64})?(\ AS\ [a-z]+)?$ ]]; then
      before=${BASH_REMATCH[1]} image=${BASH_REMATCH[2]} pinned=${BASH_REMATCH[3]} after=${BASH_REMATCH[4]}
      if [[ -z $pinned || ${2:-} == all ]]; then
        if ! digest=$(image_digest "$image"); then
          printf 'pin: the registry gave no digest of %s\n' "$image" >&2
          return 1
        fi
        line="$before $image@$digest$after"
      fi
    fi
    printf '%s\n' "$line"
  done <"$1"
}
