select
    LocationID as location_id,
    Borough as borough,
    Zone as zone,
    -- Green taxis may pick up street hails in the zones that the TLC calls Boro Zone.
    replace(service_zone, 'Boro', 'Green') as service_zone
from {{ source('trips', 'zones') }}
