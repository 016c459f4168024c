# pgAdmin's settings in docker-compose.yaml. Its image writes a file of this name at the start, if it has none.
CA_FILE = "/etc/ssl/certs/ca-certificates.crt"
LOG_FILE = "/dev/null"
HELP_PATH = "../../docs"
UPGRADE_CHECK_ENABLED = False
