locals {
  connection = {
    conn_type = "google_cloud_platform"
    extra = {
      project             = var.project
      location            = var.location
      impersonation_chain = google_service_account.tasks.email
    }
  }
}

output "env" {
  description = "Lines for .env, on a machine of one of the impersonators."
  value       = <<-EOT
    AIRFLOW_CONN_GOOGLE_CLOUD_DEFAULT='${jsonencode(local.connection)}'
    GCP_PROJECT=${var.project}
    BIGQUERY_LOCATION=${var.location}
    LAKE_BUCKET=${google_storage_bucket.lake.name}
    %{for work in google_storage_bucket.work~}
    AIRFLOW_VAR_WORK_DIR=gs://${work.name}/work
    %{endfor~}
  EOT
}

output "service_account" {
  description = "The service account to run workers as."
  value       = google_service_account.tasks.email
}
