# Accounts, and the bindings of deploy/lib/access.txt: each on the narrowest resource that has a policy.

resource "google_service_account" "all" {
  for_each     = toset(local.names["iam service-accounts"])
  account_id   = each.value
  display_name = module.inventory.accounts[each.value]
  depends_on   = [google_project_service.all]
}

resource "google_project_iam_member" "all" {
  for_each   = { for key, grant in local.grants : key => grant if grant.kind == "project" }
  project    = local.settings["PROJECT_ID"]
  role       = each.value.role
  member     = each.value.member
  depends_on = [google_service_account.all]
}

resource "google_service_account_iam_member" "all" {
  for_each           = { for key, grant in local.grants : key => grant if contains(["account", "caller"], grant.kind) }
  service_account_id = google_service_account.all[each.value.resource].name
  role               = each.value.role
  member             = each.value.member
  depends_on         = [google_service_account.all, google_pubsub_topic.all]
}

resource "google_secret_manager_secret_iam_member" "all" {
  for_each   = { for key, grant in local.grants : key => grant if grant.kind == "secret" }
  secret_id  = each.value.resource
  role       = each.value.role
  member     = each.value.member
  depends_on = [google_service_account.all, google_secret_manager_secret.all]
}

resource "google_pubsub_topic_iam_member" "all" {
  for_each   = { for key, grant in local.grants : key => grant if grant.kind == "topic" }
  topic      = google_pubsub_topic.all[each.value.resource].name
  role       = each.value.role
  member     = each.value.member
  depends_on = [google_service_account.all]
}

resource "google_pubsub_subscription_iam_member" "all" {
  for_each     = { for key, grant in local.grants : key => grant if grant.kind == "subscription" }
  subscription = google_pubsub_subscription.all[each.value.resource].name
  role         = each.value.role
  member       = each.value.member
  depends_on   = [google_service_account.all]
}

resource "google_cloud_tasks_queue_iam_member" "all" {
  for_each   = { for key, grant in local.grants : key => grant if grant.kind == "queue" }
  location   = local.region
  name       = google_cloud_tasks_queue.all[each.value.resource].name
  role       = each.value.role
  member     = each.value.member
  depends_on = [google_service_account.all]
}

resource "google_artifact_registry_repository_iam_member" "all" {
  for_each   = { for key, grant in local.grants : key => grant if grant.kind == "repository" }
  location   = local.region
  repository = google_artifact_registry_repository.all[each.value.resource].name
  role       = each.value.role
  member     = each.value.member
  depends_on = [google_service_account.all]
}

resource "google_storage_bucket_iam_member" "all" {
  for_each   = { for key, grant in local.grants : key => grant if grant.kind == "bucket" }
  bucket     = google_storage_bucket.all[local.settings["BUILD_BUCKET"]].name
  role       = each.value.role
  member     = each.value.member
  depends_on = [google_service_account.all]
}

# Authoritative: who is not in the settings may not call. A service that has no members has no binding, which each plan would create again.
resource "google_cloud_run_v2_service_iam_binding" "all" {
  for_each = { for grant in local.grants : grant.resource => grant.member... if grant.kind == "service" }
  location = local.region
  name     = google_cloud_run_v2_service.all[each.key].name
  role     = "roles/run.invoker"
  members  = each.value
}
