# The dashboard and the alerts, from deploy/monitoring. docs/operate/runbook.md has a section for each alert.
if [[ -z $TELEMETRY_ENDPOINT ]]; then
  say 'TELEMETRY_ENDPOINT is empty: skipping the dashboard and alerts'
  return
fi

# sync_file <file> <what exists: NAME|MANIFEST|ETAG> <create command …> -- <update command …>: creates the resource of a file,
# or updates the resource if the file has changed.
sync_file() {
  local source="$HERE/monitoring/$1.yaml" file="$WORK/${1//\//-}.yaml" name manifest etag
  IFS='|' read -r name manifest etag <<<"$2" || true
  shift 2
  local -a create=()
  while [[ $1 != -- ]]; do create+=("$1"); shift; done
  shift
  render "$source" "$file"
  if [[ $manifest == "$MANIFEST" ]]; then return; fi
  if [[ -z $name ]]; then change "${create[@]}=$file"; return; fi
  # The etag makes the update fail if the resource was changed in the meantime.
  if [[ -n $etag ]]; then printf 'etag: "%s"\n' "$etag" >>"$file"; fi
  local -a update=("${@:1:$#-1}")
  change "${update[@]}" "$name" "${!#}=$file"
}

ALERT_CHANNELS=''
if [[ -n $ALERT_EMAIL ]]; then
  channel=(beta monitoring channels list --filter="type=email AND labels.email_address=$ALERT_EMAIL" --format='value(name)' --limit=1)
  ALERT_CHANNELS=$(query '' "${channel[@]}")
  if [[ -z $ALERT_CHANNELS ]]; then
    change beta monitoring channels create --type=email --display-name="$PREFIX: $ALERT_EMAIL" \
      --channel-labels="email_address=$ALERT_EMAIL" --user-labels="app=$PREFIX"
    ALERT_CHANNELS=$(query "projects/$PROJECT_ID/notificationChannels/1" "${channel[@]}")
  fi
fi

found=$(query '' monitoring dashboards list --filter="displayName=\"$PREFIX\"" --limit=1 \
  --format='value[separator="|"](name.basename(),labels.longhaul-manifest,etag)') || found=''
sync_file dashboard "$found" monitoring dashboards create --config-from-file -- monitoring dashboards update --config-from-file
declare -A alerts=()
found=$(query '' alpha monitoring policies list --filter="userLabels.app=\"$PREFIX\"" \
  --format='value[separator="|"](userLabels.longhaul-alert,name,userLabels.longhaul-manifest)') || found=''
while IFS='|' read -r alert policy; do
  if [[ -n $alert ]]; then alerts[$alert]=$policy; fi
done <<<"$found"
for file in "$HERE"/monitoring/alerts/*.yaml; do
  alert=${file##*/} alert=${alert%.yaml}
  sync_file "alerts/$alert" "${alerts[$alert]:-}" \
    alpha monitoring policies create --policy-from-file -- alpha monitoring policies update --policy-from-file
done
