-- Written by `make tables` from manifest.yaml.
with source as (

    {{ docebo.read_stream('certifications', key=['id_cert'], columns={
        'id_cert': 'integer',
        'title': 'text',
        'code': 'text',
        'description': 'text',
        'duration': 'text',
        'duration_unit': 'text',
        'allow_same_item': 'text',
    }) }}

)

select
    id_cert as certification_id,
    title as certification_name,
    code as certification_code,
    description,
    duration,
    duration_unit,
    {{ docebo.flag('allow_same_item') }} as allow_same_item,
    _airbyte_extracted_at
from source
