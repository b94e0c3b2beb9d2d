# A deployment of Longhaul, as deploy/deploy.sh makes it. Names, roles, settings and manifests come from the files of the
# scripts, through the module inventory.

data "google_project" "this" {
  project_id = var.settings["PROJECT_ID"]
}

module "inventory" {
  source          = "./inventory"
  settings        = var.settings
  env             = var.env
  project_number  = data.google_project.this.number
  receiver        = var.receiver
  secret_versions = var.secret_versions
  values = {
    database_address = local.database_address
    deploy_id        = google_service_account.all["${local.settings["PREFIX"]}-deploy"].unique_id
  }
}

locals {
  settings = module.inventory.settings
  names    = module.inventory.names
  grants   = module.inventory.grants
  prefix   = local.settings["PREFIX"]
  region   = local.settings["REGION"]
  labels   = { app = local.prefix }
  network  = "projects/${local.settings["PROJECT_ID"]}/global/networks/${local.settings["NETWORK"]}"
  subnet   = "projects/${local.settings["PROJECT_ID"]}/regions/${local.region}/subnetworks/${local.settings["SUBNET"]}"
}

resource "google_project_service" "all" {
  for_each           = toset(module.inventory.apis)
  service            = each.value
  disable_on_destroy = false
}
output "api_url" {
  description = "The address of the api. Its agent card is at /.well-known/agent-card.json."
  value       = "https://${local.prefix}-api-${data.google_project.this.number}.${local.region}.run.app"
}

output "migrate" {
  description = "Runs the migration. Run it before the services of a new image are deployed."
  value       = "gcloud run jobs execute ${one(local.names["run jobs"])} --region=${local.region} --project=${local.settings["PROJECT_ID"]} --wait"
}
