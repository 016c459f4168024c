"""From months to years: which years are complete in the warehouse."""
