# The dashboard and the alerts, from deploy/monitoring. docs/operate/runbook.md has a section for each alert.

resource "google_monitoring_notification_channel" "all" {
  for_each     = toset(local.names["monitoring channels"])
  type         = "email"
  display_name = "${local.prefix}: ${each.value}"
  labels       = { email_address = each.value }
  user_labels  = local.labels
  depends_on   = [google_project_service.all]
}

resource "google_monitoring_dashboard" "all" {
  for_each       = toset(local.names["monitoring dashboards"])
  dashboard_json = jsonencode(module.inventory.dashboard[each.value])
  depends_on     = [google_project_service.all]
}

resource "google_monitoring_alert_policy" "all" {
  for_each              = toset(local.names["monitoring policies"])
  display_name          = module.inventory.alerts[each.value].displayName
  combiner              = module.inventory.alerts[each.value].combiner
  severity              = module.inventory.alerts[each.value].severity
  notification_channels = [for channel in google_monitoring_notification_channel.all : channel.name]
  user_labels           = merge(local.labels, { longhaul-alert = each.value })

  documentation {
    mime_type = module.inventory.alerts[each.value].documentation.mimeType
    content   = module.inventory.alerts[each.value].documentation.content
  }
  dynamic "conditions" {
    for_each = module.inventory.alerts[each.value].conditions
    content {
      display_name = conditions.value.displayName
      condition_prometheus_query_language {
        query                     = conditions.value.conditionPrometheusQueryLanguage.query
        duration                  = conditions.value.conditionPrometheusQueryLanguage.duration
        evaluation_interval       = conditions.value.conditionPrometheusQueryLanguage.evaluationInterval
        disable_metric_validation = conditions.value.conditionPrometheusQueryLanguage.disableMetricValidation
      }
    }
  }
  alert_strategy {
    auto_close = module.inventory.alerts[each.value].alertStrategy.autoClose
  }
  depends_on = [google_project_service.all]
}
