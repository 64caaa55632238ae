-- Written by `make tables` from manifest.yaml.
with source as (

    {{ docebo.read_stream('course_fields', key=['id'], columns={
        'id': 'integer',
        'type': 'text',
        'name': 'json',
    }) }}

)

select
    id as field_id,
    type as field_type,
    {{ docebo.json_text('name', 'value') }} as field_title,
    _airbyte_extracted_at
from source
