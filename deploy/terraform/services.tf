# The services, from the manifests of the scripts: deploy/manifests.

locals {
  dispatcher_url = "https://${local.prefix}-dispatcher-${data.google_project.this.number}.${local.region}.run.app"
  pods           = module.inventory.pods
  images_missing = "API_IMAGE and WORKER_IMAGE must be images by digest (…@sha256:…), or WORKER_IMAGE alone with AGENT_DIR or IMAGES_FROM=source: README.md says how to read them from the registry."
}

resource "google_cloud_run_v2_service" "all" {
  for_each            = toset(local.names["run services"])
  name                = each.value
  location            = local.region
  labels              = local.labels
  ingress             = module.inventory.manifests[each.value].metadata.annotations["run.googleapis.com/ingress"] == "all" ? "INGRESS_TRAFFIC_ALL" : "INGRESS_TRAFFIC_INTERNAL_ONLY"
  deletion_protection = var.deletion_protection
  # Together with the mode of AUTH_MODES, which relies on the check or does not.
  invoker_iam_disabled = lookup(module.inventory.manifests[each.value].metadata.annotations, "run.googleapis.com/invoker-iam-disabled", "false") == "true"

  template {
    service_account                  = local.pods[each.value].serviceAccountName
    timeout                          = "${local.pods[each.value].timeoutSeconds}s"
    max_instance_request_concurrency = tonumber(local.pods[each.value].containerConcurrency)
    scaling {
      min_instance_count = tonumber(local.pods[each.value].annotations["autoscaling.knative.dev/minScale"])
      max_instance_count = tonumber(local.pods[each.value].annotations["autoscaling.knative.dev/maxScale"])
    }
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
          # Wake-ups are published after the response has been sent.
          cpu_idle          = lookup(local.pods[each.value].annotations, "run.googleapis.com/cpu-throttling", "true") != "false"
          startup_cpu_boost = lookup(local.pods[each.value].annotations, "run.googleapis.com/startup-cpu-boost", "false") == "true"
        }
        dynamic "ports" {
          for_each = try(containers.value.ports, [])
          content {
            name           = try(ports.value.name, null)
            container_port = ports.value.containerPort
          }
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
        dynamic "volume_mounts" {
          for_each = try(containers.value.volumeMounts, [])
          content {
            name       = volume_mounts.value.name
            mount_path = volume_mounts.value.mountPath
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
            dynamic "grpc" {
              for_each = try([startup_probe.value.grpc], [])
              content {
                port = grpc.value.port
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
            dynamic "grpc" {
              for_each = try([liveness_probe.value.grpc], [])
              content {
                port = grpc.value.port
              }
            }
          }
        }
      }
    }
    dynamic "volumes" {
      for_each = try(local.pods[each.value].volumes, [])
      content {
        name = volumes.value.name
        secret {
          secret = volumes.value.secret.secretName
          dynamic "items" {
            for_each = volumes.value.secret.items
            content {
              version = items.value.key
              path    = items.value.path
            }
          }
        }
      }
    }
  }
  lifecycle {
    # The first steps of README.md come before there are images. The settings have none but those by digest.
    precondition {
      condition     = alltrue([for container in local.pods[each.value].containers : container.image != ""])
      error_message = local.images_missing
    }
  }
  depends_on = [google_secret_manager_secret_iam_member.all, google_project_iam_member.all, google_compute_subnetwork.all, google_compute_firewall.all]
}
