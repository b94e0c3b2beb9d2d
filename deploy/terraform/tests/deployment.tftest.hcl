# terraform test, with providers that create nothing. It needs the schema of the provider, and a Terraform whose mock providers
# know ephemeral resources, so it has not been run on the machines where it was written: see README.md.

mock_provider "google" {
  mock_data "google_project" {
    defaults = { number = "123456789012" }
  }
  mock_resource "google_alloydb_instance" {
    defaults = { ip_address = "10.21.0.2" }
  }
}

variables {
  # With an address, all values are known before anything is created.
  settings = {
    PROJECT_ID    = "my-project"
    DATABASE_HOST = "10.50.0.3"
    API_IMAGE     = "registry/api@sha256:0000000000000000000000000000000000000000000000000000000000000000"
    WORKER_IMAGE  = "registry/worker@sha256:0000000000000000000000000000000000000000000000000000000000000000"
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
    condition     = google_cloud_run_v2_worker_pool.all["longhaul-worker"].template[0].containers[0].name == "service"
    error_message = "There is one pool, with the container of the manifest."
  }
  assert {
    condition     = one(google_compute_firewall.all["longhaul-database"].destination_ranges) == "10.50.0.3/32"
    error_message = "The services reach the database, and nothing else in the network."
  }
  assert {
    condition     = length(google_alloydb_cluster.all) == 0 && length(google_alloydb_user.all) == 0
    error_message = "An existing database is left alone."
  }
}

run "own_database" {
  command = plan
  variables {
    settings = {
      PROJECT_ID   = "my-project"
      API_IMAGE    = "registry/api@sha256:0000000000000000000000000000000000000000000000000000000000000000"
      WORKER_IMAGE = "registry/worker@sha256:0000000000000000000000000000000000000000000000000000000000000000"
    }
  }

  assert {
    condition     = keys(google_alloydb_user.all) == ["longhaul_api", "longhaul_dispatcher", "longhaul_worker"]
    error_message = "Each service has a user."
  }
  assert {
    condition     = google_alloydb_cluster.all["longhaul"].network_config[0].allocated_ip_range == "longhaul-database"
    error_message = "The cluster has addresses of the range that is reserved for it."
  }
}

run "push_with_grpc" {
  command = plan
  variables {
    settings = {
      PROJECT_ID    = "my-project"
      DATABASE_HOST = "10.50.0.3"
      API_IMAGE     = "registry/api@sha256:0000000000000000000000000000000000000000000000000000000000000000"
      WORKER_IMAGE  = "registry/worker@sha256:0000000000000000000000000000000000000000000000000000000000000000"
      WORKER_MODE   = "push"
      GRPC_MAX      = "2"
    }
  }

  assert {
    condition     = length(google_cloud_run_v2_service.all) == 4 && length(google_cloud_run_v2_worker_pool.all) == 0
    error_message = "The worker and gRPC are services."
  }
  assert {
    condition     = endswith(google_pubsub_subscription.all["longhaul-turns-worker"].push_config[0].push_endpoint, "/turns")
    error_message = "Pub/Sub calls the worker."
  }
}

run "variables" {
  command = plan
  variables {
    env = { SERVICE_ENV = { RETENTION_DAYS = "30" }, AGENT_ENV = { ORDERS_URL = "https://orders.example/?a=1,2" } }
  }

  assert {
    condition     = one([for env in google_cloud_run_v2_service.all["longhaul-api"].template[0].containers[0].env : env.value if env.name == "RETENTION_DAYS"]) == "30"
    error_message = "Each variable is given to the services that read it."
  }
  assert {
    condition     = one([for env in google_cloud_run_v2_worker_pool.all["longhaul-worker"].template[0].containers[0].env : env.value if env.name == "ORDERS_URL"]) == "https://orders.example/?a=1,2"
    error_message = "The workers get the variables of the agent."
  }
}

run "receiver" {
  command = plan
  variables {
    receiver = true
  }

  assert {
    condition     = contains(keys(google_cloud_run_v2_service.all), "longhaul-receiver")
    error_message = "The receiver is a service."
  }
  assert {
    condition     = keys(google_cloud_run_v2_service_iam_binding.all) == ["longhaul-api", "longhaul-dispatcher"]
    error_message = "A service without members has no binding."
  }
}

run "needs_images" {
  command = plan
  variables {
    settings = { PROJECT_ID = "my-project", DATABASE_HOST = "10.50.0.3" }
  }
  expect_failures = [google_cloud_run_v2_service.all, google_cloud_run_v2_worker_pool.all, google_cloud_run_v2_job.all]
}
