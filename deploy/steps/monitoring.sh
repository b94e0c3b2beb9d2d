# The dashboard and the alerts, as the files of deploy/monitoring have them. What to do about each alert: docs/runbook.md.
if [[ -z $TELEMETRY_ENDPOINT ]]; then
  say 'TELEMETRY_ENDPOINT is empty: there is nothing to be seen, and nothing to be told of'
  return
fi

# keep <file> <what finds it …> -- <create …> -- <update …>: made where it is missing, changed where its file has changed.
keep() {
  local source="$HERE/monitoring/$1.yaml" file="$WORK/${1//\//-}.yaml"
  shift
  local -a look=() create=()
  while [[ $1 != -- ]]; do look+=("$1"); shift; done
  shift
  while [[ $1 != -- ]]; do create+=("$1"); shift; done
  shift
  MANIFEST=unknown
  MANIFEST=$(render "$source" | sha256sum | cut -c1-32)
  local there name manifest etag
  there=$(ask '' "${look[@]}") || there=''
  IFS='|' read -r name manifest etag <<<"$there" || true
  if [[ $manifest == "$MANIFEST" ]]; then return; fi
  render "$source" >"$file"
  if [[ -z $name ]]; then change "${create[@]}=$file"; return; fi
  # Nobody has changed it since we looked.
  if [[ -n $etag ]]; then printf 'etag: "%s"\n' "$etag" >>"$file"; fi
  local -a update=("${@:1:$#-1}")
  change "${update[@]}" "$name" "${!#}=$file"
}

ALERT_CHANNELS=''
if [[ -n $ALERT_EMAIL ]]; then
  channel=(beta monitoring channels list --filter="type=email AND labels.email_address=$ALERT_EMAIL" --format='value(name)' --limit=1)
  ALERT_CHANNELS=$(ask '' "${channel[@]}")
  if [[ -z $ALERT_CHANNELS ]]; then
    change beta monitoring channels create --type=email --display-name="$PREFIX: $ALERT_EMAIL" \
      --channel-labels="email_address=$ALERT_EMAIL" --user-labels="app=$PREFIX"
    ALERT_CHANNELS=$(ask "projects/$PROJECT_ID/notificationChannels/1" "${channel[@]}")
  fi
fi

keep dashboard monitoring dashboards list --filter="displayName=\"$PREFIX\"" --limit=1 \
  --format='value[separator="|"](name.basename(),labels.longhaul-manifest,etag)' -- \
  monitoring dashboards create --config-from-file -- monitoring dashboards update --config-from-file
for file in "$HERE"/monitoring/alerts/*.yaml; do
  alert=$(basename "$file" .yaml)
  keep "alerts/$alert" alpha monitoring policies list --limit=1 --format='value[separator="|"](name,userLabels.longhaul-manifest)' \
    --filter="userLabels.app=\"$PREFIX\" AND userLabels.longhaul-alert=\"$alert\"" -- \
    alpha monitoring policies create --policy-from-file -- alpha monitoring policies update --policy-from-file
done
