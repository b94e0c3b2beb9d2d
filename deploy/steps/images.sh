# The image registry, the bucket for build sources, and the first images, whose successors come from cloudbuild.yaml;
# for an agent in a folder of its own, a new image.
ensure artifacts repositories describe "$PREFIX" --location="$REGION" -- \
  artifacts repositories create "$PREFIX" --location="$REGION" --repository-format=docker
grant roles/artifactregistry.writer "$(service_account build)" artifacts repositories "$PREFIX" --location="$REGION"
ensure storage buckets describe "gs://$BUILD_BUCKET" -- \
  storage buckets create "gs://$BUILD_BUCKET" --location="$REGION" --uniform-bucket-level-access \
  --public-access-prevention
grant roles/storage.objectViewer "$(service_account build)" storage buckets "gs://$BUILD_BUCKET"

if [[ -n $AGENT_DIR ]]; then
  change builds submit "$AGENT_DIR" --config="$HERE/agent-image.yaml" --region="$REGION" \
    --gcs-source-staging-dir="gs://$BUILD_BUCKET/source" \
    --service-account="projects/$PROJECT_ID/serviceAccounts/$(account build)" \
    --substitutions="_REPOSITORY=$REPOSITORY,_TAG=$(date +%Y%m%d-%H%M%S)"
elif [[ -z $API_IMAGE || -z $WORKER_IMAGE ]]; then
  if [[ $DRY_RUN == true || -z $(newest_image api) || -z $(newest_image worker) ]]; then
    change builds submit "$(dirname "$HERE")" --config="$HERE/images.yaml" --region="$REGION" \
      --gcs-source-staging-dir="gs://$BUILD_BUCKET/source" \
      --service-account="projects/$PROJECT_ID/serviceAccounts/$(account build)" \
      --substitutions="_REPOSITORY=$REPOSITORY,_TAG=first-$(date +%s)"
  fi
fi
