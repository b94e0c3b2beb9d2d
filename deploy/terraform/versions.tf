terraform {
  # Write-only arguments and ephemeral resources: no password is in the state.
  required_version = ">= 1.11"
  required_providers {
    google = {
      source  = "hashicorp/google"
      version = ">= 7.0, < 8.0"
    }
  }
}

provider "google" {
  project               = var.settings["PROJECT_ID"]
  region                = local.settings["REGION"]
  user_project_override = true
}
