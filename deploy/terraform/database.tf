# AlloyDB on private addresses or with endpoints of Private Service Connect, with point-in-time recovery (default: 14 days) and
# encrypted connections only. The passwords are read from Secret Manager and are not in the state.

resource "google_compute_global_address" "all" {
  for_each      = module.inventory.psc ? toset([]) : toset(local.names["compute addresses"])
  name          = each.value
  purpose       = "VPC_PEERING"
  address_type  = "INTERNAL"
  network       = local.network
  address       = local.settings["DATABASE_RANGE"]
  prefix_length = tonumber(local.settings["DATABASE_RANGE_BITS"])
  depends_on    = [google_compute_network.all]
}

# A range that belongs to the private services access of an existing network.
data "google_compute_global_address" "existing" {
  for_each = toset(compact([local.settings["DATABASE_RANGE_NAME"]]))
  name     = each.value
}

resource "google_service_networking_connection" "all" {
  for_each                = google_compute_global_address.all
  network                 = local.network
  service                 = "servicenetworking.googleapis.com"
  reserved_peering_ranges = [each.value.name]
}

ephemeral "google_secret_manager_secret_version" "admin" {
  for_each = toset(local.names["alloydb clusters"])
  secret   = "${local.secret_prefix}alloy_db_admin_pass"
}

ephemeral "google_secret_manager_secret_version" "users" {
  for_each = toset(local.names["alloydb users"])
  secret   = "${local.secret_prefix}alloy_db_pass_${trimprefix(each.value, "${local.settings["DATABASE_USER"]}_")}"
}

resource "google_alloydb_cluster" "all" {
  for_each            = toset(local.names["alloydb clusters"])
  cluster_id          = each.value
  location            = local.region
  deletion_protection = var.deletion_protection
  deletion_policy     = "FORCE"

  dynamic "network_config" {
    for_each = module.inventory.psc ? [] : ["network"]
    content {
      network            = local.network
      allocated_ip_range = local.settings["DATABASE_RANGE_NAME"] != "" ? local.settings["DATABASE_RANGE_NAME"] : "${local.prefix}-database"
    }
  }
  dynamic "psc_config" {
    for_each = module.inventory.psc ? ["endpoints"] : []
    content {
      psc_enabled = true
    }
  }
  initial_user {
    user                = "postgres"
    password_wo         = ephemeral.google_secret_manager_secret_version.admin[each.value].secret_data
    password_wo_version = tonumber(lookup(var.secret_versions, "admin", "1"))
  }
  depends_on = [google_service_networking_connection.all]
}

resource "google_alloydb_instance" "all" {
  for_each          = toset(local.names["alloydb instances"])
  cluster           = one(values(google_alloydb_cluster.all)).name
  instance_id       = each.value
  instance_type     = "PRIMARY"
  availability_type = local.settings["ALLOYDB_AVAILABILITY"]
  database_flags = {
    max_connections              = local.settings["DATABASE_MAX_CONNECTIONS"]
    "alloydb.iam_authentication" = "on"
  }
  machine_config {
    cpu_count = tonumber(local.settings["ALLOYDB_CPUS"])
  }
  client_connection_config {
    ssl_config {
      ssl_mode = "ENCRYPTED_ONLY"
    }
  }
  dynamic "network_config" {
    for_each = local.settings["DATABASE_CONNECTION"] == "public" ? ["public"] : []
    content {
      enable_public_ip = true
    }
  }
  dynamic "psc_instance_config" {
    for_each = module.inventory.psc ? ["endpoints"] : []
    content {
      allowed_consumer_projects = [data.google_project.this.number]
    }
  }
}

# One user for each service; the migration grants their rights.
resource "google_alloydb_user" "all" {
  for_each            = toset(local.names["alloydb users"])
  cluster             = one(values(google_alloydb_cluster.all)).name
  user_id             = each.value
  user_type           = "ALLOYDB_BUILT_IN"
  password_wo         = ephemeral.google_secret_manager_secret_version.users[each.value].secret_data
  password_wo_version = tonumber(lookup(var.secret_versions, trimprefix(each.value, "${local.settings["DATABASE_USER"]}_"), "1"))
  depends_on          = [google_alloydb_instance.all]
}

# The endpoint, for a cluster of this deployment or an existing one.
data "google_alloydb_instance" "existing" {
  for_each    = length(local.names["alloydb instances"]) == 0 && local.settings["DATABASE_HOST"] == "" ? toset([local.settings["ALLOYDB_INSTANCE"]]) : toset([])
  cluster_id  = local.settings["ALLOYDB_CLUSTER"]
  location    = local.region
  instance_id = each.value
}

resource "google_compute_address" "all" {
  for_each     = module.inventory.psc ? toset(local.names["compute addresses"]) : toset([])
  name         = each.value
  region       = local.region
  address_type = "INTERNAL"
  subnetwork   = local.subnet
  depends_on   = [google_compute_subnetwork.all]
}

resource "google_compute_forwarding_rule" "all" {
  for_each              = toset(local.names["compute forwarding-rules"])
  name                  = each.value
  region                = local.region
  network               = local.network
  ip_address            = google_compute_address.all[each.value].id
  target                = one(local.instances).psc_instance_config[0].service_attachment_link
  load_balancing_scheme = ""
}

locals {
  secret_prefix = local.prefix == "longhaul" ? "" : "${local.prefix}-"
  instances     = concat(values(google_alloydb_instance.all), values(data.google_alloydb_instance.existing))
  database_address = (
    local.settings["DATABASE_HOST"] != "" ? local.settings["DATABASE_HOST"] :
    module.inventory.psc ? one(values(google_compute_address.all)).address : one(local.instances).ip_address
  )
}
