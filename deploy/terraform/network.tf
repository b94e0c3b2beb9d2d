# A separate network, in which the services reach only AlloyDB. Internet traffic does not use it.

resource "google_compute_network" "all" {
  for_each                = toset(local.names["compute networks"])
  name                    = each.value
  auto_create_subnetworks = false
  routing_mode            = "REGIONAL"
  depends_on              = [google_project_service.all]
}

resource "google_compute_subnetwork" "all" {
  for_each                 = toset(local.names["compute networks subnets"])
  name                     = each.value
  network                  = local.network
  region                   = local.region
  ip_cidr_range            = local.settings["SUBNET_RANGE"]
  private_ip_google_access = true
  depends_on               = [google_compute_network.all]
}

locals {
  database_ranges = (
    local.settings["DATABASE_EGRESS"] != "" ? split(",", local.settings["DATABASE_EGRESS"]) :
    local.settings["DATABASE_HOST"] != "" ? ["${local.settings["DATABASE_HOST"]}/32"] :
    module.inventory.psc ? [local.settings["SUBNET_RANGE"]] :
    local.settings["DATABASE_RANGE_NAME"] != "" ? [for range in data.google_compute_global_address.existing : "${range.address}/${range.prefix_length}"] :
    ["${local.settings["DATABASE_RANGE"]}/${local.settings["DATABASE_RANGE_BITS"]}"]
  )
}

# Egress is allowed only to AlloyDB and, in an existing network, to Google's APIs: a second line of defence behind the SSRF guard for webhooks.
locals {
  rules = {
    database    = { ranges = local.database_ranges, ports = ["5432", "5433"] }
    google-apis = { ranges = ["199.36.153.8/30", "199.36.153.4/30"], ports = ["443"] }
    # Without ports, everything is denied.
    nothing-else = { ranges = ["0.0.0.0/0"], ports = [] }
  }
}

resource "google_compute_firewall" "all" {
  for_each           = { for name in local.names["compute firewall-rules"] : name => local.rules[trimprefix(name, "${local.prefix}-")] }
  name               = each.key
  network            = local.network
  direction          = "EGRESS"
  priority           = length(each.value.ports) > 0 ? 1000 : 65000
  target_tags        = [local.prefix]
  destination_ranges = each.value.ranges

  dynamic "allow" {
    for_each = length(each.value.ports) > 0 ? ["tcp"] : []
    content {
      protocol = allow.value
      ports    = each.value.ports
    }
  }
  dynamic "deny" {
    for_each = length(each.value.ports) > 0 ? [] : ["all"]
    content {
      protocol = deny.value
    }
  }
  depends_on = [google_compute_network.all]
}
