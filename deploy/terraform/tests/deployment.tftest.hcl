# terraform test, with providers that create nothing. Needs the schema of the provider (terraform init), so it has not been run
# on the machines where it was written: see README.md.

mock_provider "google" {
  mock_data "google_project" {
    defaults = { number = "123456789012" }
  }
  mock_resource "google_alloydb_instance" {
    defaults = { ip_address = "10.21.0.2" }
  }
}

variables {
  settings = {
    PROJECT_ID   = "my-project"
    API_IMAGE    = "registry/api@sha256:0000000000000000000000000000000000000000000000000000000000000000"
    WORKER_IMAGE = "registry/worker@sha256:0000000000000000000000000000000000000000000000000000000000000000"
  }
}

run "pull" {
  command = plan

  assert {
    condition     = keys(google_cloud_run_v2_service.all) == ["longhaul-api", "longhaul-dispatcher"]
    error_message = "The api and the dispatcher are services, and the worker is a pool."
  }
  assert {
    condition     = google_cloud_run_v2_service.all["longhaul-dispatcher"].ingress == "INGRESS_TRAFFIC_INTERNAL_ONLY"
    error_message = "The dispatcher is not reached from the internet."
  }
  assert {
    condition     = length(google_cloud_run_v2_worker_pool.all) == 1
    error_message = "There is one pool."
  }
}

run "push_with_grpc" {
  command = plan
  variables {
    settings = {
      PROJECT_ID   = "my-project"
      API_IMAGE    = "registry/api@sha256:0000000000000000000000000000000000000000000000000000000000000000"
      WORKER_IMAGE = "registry/worker@sha256:0000000000000000000000000000000000000000000000000000000000000000"
      WORKER_MODE  = "push"
      GRPC_MAX     = "2"
    }
  }

  assert {
    condition     = length(google_cloud_run_v2_service.all) == 4 && length(google_cloud_run_v2_worker_pool.all) == 0
    error_message = "The worker and gRPC are services."
  }
}

run "refuses_tags" {
  command = plan
  variables {
    settings = { PROJECT_ID = "my-project", API_IMAGE = "registry/api:1", WORKER_IMAGE = "registry/worker:1" }
  }
  expect_failures = [var.settings]
}
