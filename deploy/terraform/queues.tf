# Wake-ups: Pub/Sub for turns, Cloud Tasks for webhooks, and Cloud Scheduler for the reconciler.

resource "google_pubsub_topic" "all" {
  for_each                   = toset(local.names["pubsub topics"])
  name                       = each.value
  message_retention_duration = endswith(each.value, "-dead") ? null : "86400s"
  depends_on                 = [google_project_service.all]
}

locals {
  worker_url = "https://${local.prefix}-worker-${data.google_project.this.number}.${local.region}.run.app"
  subscriptions = {
    "${local.prefix}-turns-worker"      = { topic = "${local.prefix}-turns", path = "turns", dead = true, retention = "86400s" }
    "${local.prefix}-turns-dead-worker" = { topic = "${local.prefix}-turns-dead", path = "dead-letters", dead = false, retention = "604800s" }
  }
}

# Ordering and exactly-once delivery are off: both would cost throughput, and correctness does not need them.
resource "google_pubsub_subscription" "all" {
  for_each                   = toset(local.names["pubsub subscriptions"])
  name                       = each.value
  topic                      = google_pubsub_topic.all[local.subscriptions[each.value].topic].id
  ack_deadline_seconds       = tonumber(local.settings[module.inventory.push ? "PUSH_ACK_SECONDS" : "PULL_ACK_SECONDS"])
  message_retention_duration = local.subscriptions[each.value].retention

  expiration_policy {
    ttl = ""
  }
  dynamic "retry_policy" {
    for_each = local.subscriptions[each.value].dead ? ["turns"] : []
    content {
      minimum_backoff = "1s"
      maximum_backoff = "60s"
    }
  }
  dynamic "dead_letter_policy" {
    for_each = local.subscriptions[each.value].dead ? ["turns"] : []
    content {
      dead_letter_topic     = google_pubsub_topic.all["${local.prefix}-turns-dead"].id
      max_delivery_attempts = tonumber(local.settings["MAX_DELIVERY_ATTEMPTS"])
    }
  }
  dynamic "push_config" {
    for_each = module.inventory.push ? ["worker"] : []
    content {
      push_endpoint = "${local.worker_url}/${local.subscriptions[each.value].path}"
      oidc_token {
        service_account_email = google_service_account.all["${local.prefix}-push"].email
        audience              = local.worker_url
      }
    }
  }
}

# Longhaul schedules the retries of webhooks; those of the queue only cover a restart of the dispatcher.
resource "google_cloud_tasks_queue" "all" {
  for_each = toset(local.names["tasks queues"])
  name     = each.value
  location = local.region

  rate_limits {
    max_dispatches_per_second = tonumber(local.settings["QUEUE_CALLS_PER_SECOND"])
    max_concurrent_dispatches = tonumber(local.settings["QUEUE_CONCURRENT_CALLS"])
  }
  retry_config {
    max_attempts = 100
    min_backoff  = "0.100s"
    max_backoff  = "10s"
  }
  depends_on = [google_project_service.all]
}

# Lost wake-ups are found within a minute, even if all services are scaled to zero.
resource "google_cloud_scheduler_job" "all" {
  for_each         = toset(local.names["scheduler jobs"])
  name             = each.value
  region           = local.region
  schedule         = "* * * * *"
  attempt_deadline = "60s"

  http_target {
    uri         = "${local.dispatcher_url}/reconcile"
    http_method = "POST"
    oidc_token {
      service_account_email = google_service_account.all["${local.prefix}-scheduler"].email
      audience              = local.dispatcher_url
    }
  }
}
