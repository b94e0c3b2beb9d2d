# The image registry, the bucket for sources and SBOMs, and the first images, whose successors come from release.sh; for an
# agent in a folder of its own, or from source, a new image. A build pushes only images that its scan has passed.
ensure artifacts repositories describe "$PREFIX" --location="$REGION" -- \
  artifacts repositories create "$PREFIX" --location="$REGION" --repository-format=docker
grant_listed repository
ensure storage buckets describe "gs://$BUILD_BUCKET" -- \
  storage buckets create "gs://$BUILD_BUCKET" --location="$REGION" --uniform-bucket-level-access \
  --public-access-prevention
grant_listed bucket

if [[ -n $AGENT_DIR ]]; then
  submit build "$AGENT_DIR" "$HERE/builds/agent-image.yaml" \
    "_REPOSITORY=$REPOSITORY,_TAG=$(date +%Y%m%d-%H%M%S),$(scan_settings)"
  BUILT=true
elif [[ $IMAGES_FROM == source && -z $WORKER_IMAGE ]]; then
  submit build "$(dirname "$HERE")" "$HERE/builds/source-image.yaml" \
    "_REPOSITORY=$REPOSITORY,_TAG=$(date +%Y%m%d-%H%M%S),_AGENT_FILE=$AGENT_FILE,$(scan_settings)"
  BUILT=true
elif [[ -z $API_IMAGE || -z $WORKER_IMAGE ]]; then
  if [[ $DRY_RUN == true || -z $(newest_image api) || -z $(newest_image worker) ]]; then
    submit build "$(dirname "$HERE")" "$HERE/builds/images.yaml" \
      "_REPOSITORY=$REPOSITORY,_BUCKET=$BUILD_BUCKET,_TAG=first-$(date +%s),_AGENT_FILE=$AGENT_FILE,$(scan_settings)"
    BUILT=true
  fi
fi
