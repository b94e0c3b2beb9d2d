# The dashboard and the alerts, from deploy/monitoring. docs/operate/runbook.md has a section for each alert.
if [[ -z $TELEMETRY_ENDPOINT ]]; then
  say 'TELEMETRY_ENDPOINT is empty: skipping the dashboard and alerts'
  return
fi

# sync_file <file> <list command …> -- <create command …> -- <update command …>: creates the resource of a file,
# or updates the resource if the file has changed.
sync_file() {
  local source="$HERE/monitoring/$1.yaml" file="$WORK/${1//\//-}.yaml"
  shift
  local -a list=() create=()
  while [[ $1 != -- ]]; do list+=("$1"); shift; done
  shift
  while [[ $1 != -- ]]; do create+=("$1"); shift; done
  shift
  MANIFEST=unknown
  MANIFEST=$(render "$source" | sha256sum | cut -c1-32)
  local found name manifest etag
  found=$(query '' "${list[@]}") || found=''
  IFS='|' read -r name manifest etag <<<"$found" || true
  if [[ $manifest == "$MANIFEST" ]]; then return; fi
  render "$source" >"$file"
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

sync_file dashboard monitoring dashboards list --filter="displayName=\"$PREFIX\"" --limit=1 \
  --format='value[separator="|"](name.basename(),labels.longhaul-manifest,etag)' -- \
  monitoring dashboards create --config-from-file -- monitoring dashboards update --config-from-file
for file in "$HERE"/monitoring/alerts/*.yaml; do
  alert=$(basename "$file" .yaml)
  sync_file "alerts/$alert" alpha monitoring policies list --limit=1 --format='value[separator="|"](name,userLabels.longhaul-manifest)' \
    --filter="userLabels.app=\"$PREFIX\" AND userLabels.longhaul-alert=\"$alert\"" -- \
    alpha monitoring policies create --policy-from-file -- alpha monitoring policies update --policy-from-file
done
