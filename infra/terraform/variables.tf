variable "project" {
  description = "Id of the project, which exists and has billing."
  type        = string
}

variable "lake_bucket" {
  description = "Name of the lake's bucket, which nobody else in the world has: LAKE_BUCKET in .env."
  type        = string
}

variable "work_bucket" {
  description = "Name of a bucket for the files that tasks of a run hand on; null without one, if tasks share a disk."
  type        = string
  default     = null
}

variable "logs_bucket" {
  description = "Name of a bucket for the logs of tasks; null without one."
  type        = string
  default     = null
}

variable "location" {
  description = "Where the buckets and the datasets are: a multi-region, US or EU, or a region."
  type        = string
  default     = "US"
}

variable "account" {
  description = "Name of the service account of the tasks."
  type        = string
  default     = "nyc-taxi"
}

variable "impersonators" {
  description = "Who may act as the service account from another machine, such as user:me@example.com."
  type        = set(string)
  default     = []
}
