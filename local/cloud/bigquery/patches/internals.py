"""Private functions of bqemulator 1.4.0 that this package calls, each under a public name.

Why: they convert between the catalog's and the REST API's form of tables, columns and datasets, or do a step of query
execution, and bqemulator has no public functions for that. Collected here so that an upgrade has one list to check.

Can be removed, one by one, when bqemulator makes them public.
"""

from bqemulator.api.routes.datasets import _dataset_to_rest as dataset_to_rest
from bqemulator.api.routes.jobs import _apply_default_dataset as apply_default_dataset
from bqemulator.api.routes.tables import _field_to_rest as field_to_rest
from bqemulator.api.routes.tables import _parse_schema_fields as parse_schema_fields
from bqemulator.api.routes.tables import _table_to_rest as table_to_rest
from bqemulator.jobs.executor import _capture_dml_snapshots as capture_dml_snapshots
from bqemulator.sql.inner_query import _referenced_materialized_views as referenced_materialized_views
from bqemulator.sql.rewriter.information_schema import _render_data_type as render_data_type

__all__ = [
    "apply_default_dataset",
    "capture_dml_snapshots",
    "dataset_to_rest",
    "field_to_rest",
    "parse_schema_fields",
    "referenced_materialized_views",
    "render_data_type",
    "table_to_rest",
]
