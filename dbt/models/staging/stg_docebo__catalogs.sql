-- Written by `make tables` from manifest.yaml.
with source as (

    {{ docebo.read_stream('catalogs', key=['catalogue_id'], columns={
        'catalogue_id': 'integer',
        'catalogue_name': 'text',
        'catalogue_code': 'text',
        'catalogue_description': 'text',
        'sub_items': 'json',
    }) }}

)

select
    catalogue_id as catalog_id,
    catalogue_name as catalog_name,
    catalogue_code as catalog_code,
    catalogue_description as catalog_description,
    sub_items,
    _airbyte_extracted_at
from source
