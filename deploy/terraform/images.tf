# The registry of the images, the bucket for sources and SBOMs, and the secrets. Their contents are not Terraform's business:
# deploy/deploy.sh secrets generates those that are missing, and never shows them.

resource "google_artifact_registry_repository" "all" {
  for_each      = toset(local.names["artifacts repositories"])
  repository_id = each.value
  location      = local.region
  format        = "DOCKER"
  depends_on    = [google_project_service.all]
}

resource "google_storage_bucket" "all" {
  for_each                    = toset(local.names["storage buckets"])
  name                        = each.value
  location                    = local.region
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"
  force_destroy               = true
  depends_on                  = [google_project_service.all]
}

resource "google_secret_manager_secret" "all" {
  for_each  = toset(local.names["secrets"])
  secret_id = each.value
  labels    = local.labels

  replication {
    dynamic "auto" {
      for_each = local.settings["SECRET_LOCATIONS"] == "" ? ["everywhere"] : []
      content {}
    }
    dynamic "user_managed" {
      for_each = local.settings["SECRET_LOCATIONS"] == "" ? [] : ["regions"]
      content {
        dynamic "replicas" {
          for_each = split(",", local.settings["SECRET_LOCATIONS"])
          content {
            location = replicas.value
          }
        }
      }
    }
  }
  depends_on = [google_project_service.all]
}
