-- Written by `make tables` from manifest.yaml.
with source as (

    {{ docebo.read_stream('user_fields', key=['id'], columns={
        'id': 'text',
        'title': 'text',
        'type': 'text',
        'enabled': 'boolean',
        'inherited': 'boolean',
        'invisible_to_user': 'boolean',
        'mandatory': 'boolean',
        'settings': 'json',
        'system_field': 'boolean',
        'sequence': 'integer',
        'options': 'json',
    }) }}

)

select
    id as field_id,
    title as field_title,
    type as field_type,
    enabled,
    inherited,
    invisible_to_user,
    mandatory,
    settings,
    system_field,
    sequence,
    options,
    _airbyte_extracted_at
from source
