# What the pipeline needs of a project: the lake's bucket, two datasets, and a service account with the smallest roles; for
# workers that share no disk also buckets for the files of runs and for logs.
# docs/gcp.md says what each role is for. Tables are made by the pipeline.

locals {
  datasets = {
    trips = {
      description   = "NYC TLC trip records, one partition for each published month"
      expiration_ms = null
    }
    trips_staging = {
      description   = "Staging tables of loads that are not yet published"
      expiration_ms = 86400000 # a day: what no run has dropped
    }
  }
}

resource "google_project_service" "used" {
  for_each = toset([
    "bigquery.googleapis.com",
    "cloudresourcemanager.googleapis.com", # for make gcp-check
    "iam.googleapis.com",
    "iamcredentials.googleapis.com", # for impersonation
    "serviceusage.googleapis.com",   # for make gcp-check
    "storage.googleapis.com",
  ])

  service            = each.key
  disable_on_destroy = false
}

resource "google_storage_bucket" "lake" {
  name                        = var.lake_bucket
  location                    = var.location
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"

  depends_on = [google_project_service.used]
}

# Its objects are deleted when their run ends: a copy that is kept would only be billed.
resource "google_storage_bucket" "work" {
  count = var.work_bucket == null ? 0 : 1

  name                        = var.work_bucket
  location                    = var.location
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"

  soft_delete_policy {
    retention_duration_seconds = 0
  }

  lifecycle_rule {
    action {
      type = "Delete"
    }
    condition {
      age = 30 # days: longer than a run waits between two of its tasks
    }
  }

  depends_on = [google_project_service.used]
}

resource "google_storage_bucket" "logs" {
  count = var.logs_bucket == null ? 0 : 1

  name                        = var.logs_bucket
  location                    = var.location
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"

  depends_on = [google_project_service.used]
}

resource "google_bigquery_dataset" "datasets" {
  for_each = local.datasets

  dataset_id                  = each.key
  location                    = var.location
  description                 = each.value.description
  default_table_expiration_ms = each.value.expiration_ms

  depends_on = [google_project_service.used]
}

resource "google_service_account" "tasks" {
  account_id   = var.account
  display_name = "Tasks of the NYC taxi pipeline"

  depends_on = [google_project_service.used]
}

resource "google_storage_bucket_iam_member" "objects" {
  bucket = google_storage_bucket.lake.name
  role   = "roles/storage.objectUser"
  member = google_service_account.tasks.member
}

resource "google_storage_bucket_iam_member" "bucket" {
  bucket = google_storage_bucket.lake.name
  role   = "roles/storage.legacyBucketReader"
  member = google_service_account.tasks.member
}

resource "google_storage_bucket_iam_member" "work_objects" {
  count = length(google_storage_bucket.work)

  bucket = google_storage_bucket.work[count.index].name
  role   = "roles/storage.objectUser"
  member = google_service_account.tasks.member
}

resource "google_storage_bucket_iam_member" "work_bucket" {
  count = length(google_storage_bucket.work)

  bucket = google_storage_bucket.work[count.index].name
  role   = "roles/storage.legacyBucketReader"
  member = google_service_account.tasks.member
}

# Airflow replaces the log of a try that goes on after a wait, so that it needs to delete too.
resource "google_storage_bucket_iam_member" "logs_objects" {
  count = length(google_storage_bucket.logs)

  bucket = google_storage_bucket.logs[count.index].name
  role   = "roles/storage.objectUser"
  member = google_service_account.tasks.member
}

resource "google_project_iam_member" "jobs" {
  project = var.project
  role    = "roles/bigquery.jobUser"
  member  = google_service_account.tasks.member
}

resource "google_bigquery_dataset_iam_member" "tables" {
  for_each = google_bigquery_dataset.datasets

  dataset_id = each.value.dataset_id
  role       = "roles/bigquery.dataEditor"
  member     = google_service_account.tasks.member
}

resource "google_service_account_iam_member" "impersonators" {
  for_each = var.impersonators

  service_account_id = google_service_account.tasks.name
  role               = "roles/iam.serviceAccountTokenCreator"
  member             = each.value
}
