# The worker pool and the migration, from the manifests of the scripts: deploy/manifests.

# Scaled by hand or by an external autoscaler, which changes the count: Terraform leaves it alone.
resource "google_cloud_run_v2_worker_pool" "all" {
  for_each            = toset(local.names["run worker-pools"])
  name                = each.value
  location            = local.region
  labels              = local.labels
  deletion_protection = var.deletion_protection

  scaling {
    scaling_mode          = "MANUAL"
    manual_instance_count = tonumber(local.settings["WORKER_INSTANCES"])
  }
  template {
    service_account = local.pods[each.value].serviceAccountName
    dynamic "vpc_access" {
      for_each = local.pods[each.value].networks
      content {
        egress = "PRIVATE_RANGES_ONLY"
        network_interfaces {
          network    = vpc_access.value.network
          subnetwork = vpc_access.value.subnetwork
          tags       = vpc_access.value.tags
        }
      }
    }
    dynamic "containers" {
      for_each = local.pods[each.value].containers
      content {
        name       = containers.value.name
        image      = containers.value.image
        args       = containers.value.args
        depends_on = containers.value.after

        resources {
          limits = containers.value.resources.limits
        }
        dynamic "env" {
          for_each = containers.value.env
          content {
            name  = env.value.name
            value = try(env.value.value, null)
            dynamic "value_source" {
              for_each = try([env.value.valueFrom.secretKeyRef], [])
              content {
                secret_key_ref {
                  secret  = value_source.value.name
                  version = value_source.value.key
                }
              }
            }
          }
        }
        dynamic "startup_probe" {
          for_each = containers.value.startup
          content {
            period_seconds    = startup_probe.value.periodSeconds
            timeout_seconds   = try(startup_probe.value.timeoutSeconds, 1)
            failure_threshold = startup_probe.value.failureThreshold
            dynamic "http_get" {
              for_each = try([startup_probe.value.httpGet], [])
              content {
                path = http_get.value.path
                port = http_get.value.port
              }
            }
          }
        }
        dynamic "liveness_probe" {
          for_each = containers.value.live
          content {
            period_seconds    = liveness_probe.value.periodSeconds
            timeout_seconds   = try(liveness_probe.value.timeoutSeconds, 1)
            failure_threshold = liveness_probe.value.failureThreshold
            dynamic "http_get" {
              for_each = try([liveness_probe.value.httpGet], [])
              content {
                path = http_get.value.path
                port = http_get.value.port
              }
            }
          }
        }
      }
    }
  }
  lifecycle {
    ignore_changes = [scaling[0].manual_instance_count]
    precondition {
      condition     = alltrue([for container in local.pods[each.value].containers : container.image != ""])
      error_message = local.images_missing
    }
  }
  depends_on = [google_secret_manager_secret_iam_member.all, google_project_iam_member.all, google_compute_subnetwork.all, google_compute_firewall.all]
}

# Terraform creates the job. gcloud run jobs execute runs it, before new services are deployed: see README.md.
resource "google_cloud_run_v2_job" "all" {
  for_each            = toset(local.names["run jobs"])
  name                = each.value
  location            = local.region
  labels              = local.labels
  deletion_protection = var.deletion_protection

  template {
    task_count = 1
    template {
      service_account = local.pods[each.value].serviceAccountName
      max_retries     = local.pods[each.value].maxRetries
      timeout         = "${local.pods[each.value].timeoutSeconds}s"
      dynamic "vpc_access" {
        for_each = local.pods[each.value].networks
        content {
          egress = "PRIVATE_RANGES_ONLY"
          network_interfaces {
            network    = vpc_access.value.network
            subnetwork = vpc_access.value.subnetwork
            tags       = vpc_access.value.tags
          }
        }
      }
      dynamic "containers" {
        for_each = local.pods[each.value].containers
        content {
          name       = containers.value.name
          image      = containers.value.image
          args       = containers.value.args
          depends_on = containers.value.after

          resources {
            limits = containers.value.resources.limits
          }
          dynamic "env" {
            for_each = containers.value.env
            content {
              name  = env.value.name
              value = try(env.value.value, null)
              dynamic "value_source" {
                for_each = try([env.value.valueFrom.secretKeyRef], [])
                content {
                  secret_key_ref {
                    secret  = value_source.value.name
                    version = value_source.value.key
                  }
                }
              }
            }
          }
          dynamic "startup_probe" {
            for_each = containers.value.startup
            content {
              period_seconds    = startup_probe.value.periodSeconds
              timeout_seconds   = try(startup_probe.value.timeoutSeconds, 1)
              failure_threshold = startup_probe.value.failureThreshold
              dynamic "http_get" {
                for_each = try([startup_probe.value.httpGet], [])
                content {
                  path = http_get.value.path
                  port = http_get.value.port
                }
              }
            }
          }
        }
      }
    }
  }
  lifecycle {
    precondition {
      condition     = alltrue([for container in local.pods[each.value].containers : container.image != ""])
      error_message = local.images_missing
    }
  }
  depends_on = [google_secret_manager_secret_iam_member.all, google_project_iam_member.all, google_compute_subnetwork.all, google_compute_firewall.all]
}
