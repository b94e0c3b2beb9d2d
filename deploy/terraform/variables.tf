variable "settings" {
  description = "Settings of deploy/settings.sh by name, such as { PROJECT_ID = \"my-project\", WORKER_IMAGE = \"…@sha256:…\" }."
  type        = map(string)

  validation {
    condition     = contains(keys(var.settings), "PROJECT_ID")
    error_message = "PROJECT_ID is required."
  }
}

variable "env" {
  description = "Variables of the services, by the names of deploy/settings.sh: { SERVICE_ENV = { OPERATORS = \"ops@example.com\" }, AGENT_ENV = { ORDERS_URL = \"…\" } }."
  type        = map(map(string))
  default     = {}
}

variable "secret_versions" {
  description = "The versions of the database passwords that the services and the migration (admin, the user postgres) use, once there are others than the first: { api = \"2\" }."
  type        = map(string)
  default     = {}

  validation {
    condition     = alltrue([for name, version in var.secret_versions : contains(["api", "worker", "dispatcher", "admin"], name) && can(regex("^[1-9][0-9]*$", version))])
    error_message = "secret_versions must have the numbers of versions by api, worker, dispatcher and admin."
  }
}

variable "receiver" {
  description = "Adds a receiver of webhooks to try the deployment with."
  type        = bool
  default     = false
}

variable "deletion_protection" {
  description = "Refuses to delete the cluster and the services. Set it to false, and apply, before terraform destroy."
  type        = bool
  default     = true
}
