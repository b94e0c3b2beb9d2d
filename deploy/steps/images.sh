# The image registry, the bucket for sources and SBOMs, and the first images, whose successors come from release.sh; for an
# agent in a folder of its own, a new image. A build pushes only images that its scan has passed.
ensure artifacts repositories describe "$PREFIX" --location="$REGION" -- \
  artifacts repositories create "$PREFIX" --location="$REGION" --repository-format=docker
grant roles/artifactregistry.writer "$(service_account build)" artifacts repositories "$PREFIX" --location="$REGION"
grant roles/artifactregistry.reader "$(service_account deploy)" artifacts repositories "$PREFIX" --location="$REGION"
ensure storage buckets describe "gs://$BUILD_BUCKET" -- \
  storage buckets create "gs://$BUILD_BUCKET" --location="$REGION" --uniform-bucket-level-access \
  --public-access-prevention
for name in check build deploy; do
  grant roles/storage.objectViewer "$(service_account $name)" storage buckets "gs://$BUILD_BUCKET"
done
# Creates SBOMs, without the right to replace what the bucket holds.
grant roles/storage.objectCreator "$(service_account build)" storage buckets "gs://$BUILD_BUCKET"

if [[ -n $AGENT_DIR ]]; then
  submit build "$AGENT_DIR" "$HERE/builds/agent-image.yaml" \
    "_REPOSITORY=$REPOSITORY,_TAG=$(date +%Y%m%d-%H%M%S),$(scan_settings)"
elif [[ -z $API_IMAGE || -z $WORKER_IMAGE ]]; then
  if [[ $DRY_RUN == true || -z $(newest_image api) || -z $(newest_image worker) ]]; then
    submit build "$(dirname "$HERE")" "$HERE/builds/images.yaml" \
      "_REPOSITORY=$REPOSITORY,_BUCKET=$BUILD_BUCKET,_TAG=first-$(date +%s),$(scan_settings)"
  fi
fi
